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

// A stateFolder holds the node's keys. It belongs to one process at a time: two
// with one node key would cut each other off.
type stateFolder struct {
	path  string
	lock  *os.File
	store ipn.StateStore
}

// openState makes the state folder private and usable and takes its lock.
func openState(config *Config, logf logger.Logf) (*stateFolder, error) {
	dir := config.Dir
	if dir == "" {
		var err error
		if dir, err = defaultDir(); err != nil {
			return nil, errf(KindState, "no state folder: %v: set one", err)
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
		return nil, errf(KindState, "state file %s can't be used: %v: restore it, or remove it to enrol the node anew", file, err)
	}
	return &stateFolder{dir, lock, stored}, nil
}

// makePrivate makes the folder, or makes it private if it is a node's: somebody
// may have named a folder that others use for other things.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return errf(KindState, "state folder %s can't be made: %v: choose a folder that this user may write", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return errf(KindState, "state folder %s can't be looked at: %v: choose a folder that this user may write", dir, err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errf(KindState, "state folder %s can't be read: %v: it must belong to this user", dir, err)
	}
	_, err = os.Stat(filepath.Join(dir, "tailscaled.state"))
	if len(entries) > 0 && err != nil {
		return errf(KindState, "state folder %s has other files in it and mode %04o: choose a folder of its own", dir, info.Mode().Perm())
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return errf(KindState, "state folder %s can't be made private (mode 0700): %v: it must belong to this user", dir, err)
	}
	return nil
}

func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errf(KindState, "state folder %s can't be written: %v: it must belong to this user", dir, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errf(KindState, "state folder %s is in use by another node: stop that one, or choose another folder", dir)
		}
		return nil, errf(KindState, "state folder %s can't be locked: %v: choose a folder on a local disk", dir, err)
	}
	return lock, nil
}

// release lets another process have the folder.
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
