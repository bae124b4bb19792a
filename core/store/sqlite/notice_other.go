//go:build !linux

package sqlite

// notice is for systems that tell of changes to files; here there is only the poll.
type notice struct{ changed chan struct{} }

func startNotice(string) *notice { return nil }

func (n *notice) stop() {}
