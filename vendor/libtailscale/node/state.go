package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"tailscale.com/ipn"
	"tailscale.com/ipn/store"
	"tailscale.com/types/logger"
)

// A stateFolder holds the node's keys. One process at a time may use it: two processes
// with one node key would cut off each other.
type stateFolder struct {
	path  string
	lock  *os.File
	store ipn.StateStore
}

// openState makes the state folder private and locks it. An empty dir means defaultDir.
func openState(dir string, logf logger.Logf) (*stateFolder, error) {
	if dir == "" {
		var err error
		if dir, err = defaultDir(); err != nil {
			return nil, errf(KindState, "choose state folder: %v: set one", err)
		}
	}
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "tailscaled.state")
	stored, err := store.New(logf, file)
	if err != nil {
		lock.Close()
		return nil, errf(KindState, "read state file %s: %v: restore it, or remove it to enrol the node again", file, err)
	}
	return &stateFolder{dir, lock, stored}, nil
}

// makePrivate makes the folder, or sets its mode if it is empty or a node's. It refuses
// any other folder, whose files may be in use by others.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errf(KindState, "make state folder %s: %v: choose a folder that this user may write", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return errf(KindState, "stat state folder %s: %v: choose a folder that this user may write", dir, err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errf(KindState, "read state folder %s: %v: it must belong to this user", dir, err)
	}
	_, err = os.Stat(filepath.Join(dir, "tailscaled.state"))
	if len(entries) > 0 && err != nil {
		return errf(KindState, "use state folder %s: it contains other files and is not private (mode=%04o): choose a folder of its own", dir, info.Mode().Perm())
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return errf(KindState, "set mode 0700 of state folder %s: %v: it must belong to this user", dir, err)
	}
	return nil
}

func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errf(KindState, "write state folder %s: %v: it must belong to this user", dir, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errf(KindState, "state folder %s is in use by another node: stop that one, or choose another folder", dir)
		}
		return nil, errf(KindState, "lock state folder %s: %v: choose a folder on a local disk", dir, err)
	}
	return lock, nil
}

// release unlocks the folder.
func (s *stateFolder) release() { s.lock.Close() }

// enrolled reports whether the folder holds a node that a tailnet has accepted.
func (s *stateFolder) enrolled() bool {
	current, err := s.store.ReadState(ipn.CurrentProfileStateKey)
	if err != nil {
		return false
	}
	profile, err := s.store.ReadState(ipn.StateKey(current))
	if err != nil {
		return false
	}
	prefs := ipn.NewPrefs()
	if ipn.PrefsFromBytes(profile, prefs) != nil || prefs.Persist == nil {
		return false
	}
	return !prefs.Persist.PrivateNodeKey.IsZero()
}

func defaultDir() (string, error) {
	base, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "tsnet-"+strings.ToLower(filepath.Base(exe))), nil
}
