//go:build !linux

package sqlite

func refuseNetwork(string) error { return nil }
