package main

/*
#include <stdint.h>
*/
import "C"

// dx_protocol is the version of the frames; the Python side refuses a library of another one.
//
//export dx_protocol
func dx_protocol() C.int32_t { return protocolVersion }

const protocolVersion = 1

func main() {}
