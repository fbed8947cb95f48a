//go:build !linux

package node

func useEveryInterface() {}
