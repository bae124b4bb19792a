// Package storetest holds what every store provider has to pass, a file for each subject of the contract.
//
// A provider's test calls Run with a function that opens an empty store of its kind on the given clock:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, clock *storetest.Clock) store.Store { ... })
//	}
//
// Each scenario has a store of its own and ends with a check of all invariants.
package storetest
