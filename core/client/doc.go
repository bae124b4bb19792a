// Package client starts, signals, waits for and reads instances of one store. It needs no runtime, in this process or
// any other: a start is durable when it returns and runs when somebody registers its name.
//
// Waits do not poll. A client listens to its store once, for all of its waits: a wait registers, reads, and reads again
// whenever the store says that its instance changed. Registering before the first read means that no change is missed.
package client
