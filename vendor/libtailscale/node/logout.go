package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
)

// LogoutResult is the outcome of Logout. The stored state is removed in any case.
type LogoutResult struct {
	Stored bool   `json:"stored"`          // there was a node
	Error  string `json:"error,omitempty"` // why the control server was not told
}

// stateFiles are the files and folders of the node in its state folder, except for the
// lock. Other files may belong to the host program or to the operator.
var stateFiles = []string{"tailscaled.state", "profile-data", "certs"}

// Logout logs the stored node out at the control server, unless ctx ends first, and
// removes its stored state. The node must not have started.
func (n *Node) Logout(ctx context.Context) (*LogoutResult, error) {
	n.mu.Lock()
	started := n.server != nil || n.closed
	n.mu.Unlock()
	if started {
		return nil, errf(KindOther, "log out: the node has started: close it, and log out with a new one")
	}
	state, err := openState(n.config.Dir, n.logf)
	if err != nil {
		return nil, err
	}
	defer state.release()
	result := &LogoutResult{Stored: state.enrolled()}
	if result.Stored {
		if err := n.deregister(ctx, state); err != nil {
			result.Error = err.Error()
		}
	}
	return result, state.remove()
}

// deregister logs the node out at the control server.
func (n *Node) deregister(ctx context.Context, state *stateFolder) error {
	server, err := n.launch(state, false)
	if err != nil {
		return err
	}
	defer shutDown(server)
	lc, err := server.LocalClient()
	if err != nil {
		return err
	}
	awaitLogin(ctx, lc)
	err = lc.Logout(ctx)
	if ctx.Err() != nil {
		return errors.New("the control server did not answer in time")
	}
	return err
}

// awaitLogin waits until the login that every start begins has an outcome, or ctx ends.
// A logout during that login is a data race in tailscale's control client, and the
// registration may reach the control server after the logout and undo it.
func awaitLogin(ctx context.Context, lc *local.Client) {
	watcher, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialState)
	if err != nil {
		return
	}
	// The watcher only notices the end of ctx when it reads; closing it wakes it.
	defer context.AfterFunc(ctx, func() { watcher.Close() })()
	defer watcher.Close()
	for {
		notify, err := watcher.Next()
		if err != nil || loginEnded(&notify) {
			return
		}
	}
}

func loginEnded(notify *ipn.Notify) bool {
	if notify.ErrMessage != nil || notify.BrowseToURL != nil && *notify.BrowseToURL != "" {
		return true
	}
	return notify.State != nil && (*notify.State == ipn.Running || *notify.State == ipn.NeedsMachineAuth)
}

// remove removes the stored state.
func (s *stateFolder) remove() error {
	var errs []error
	for _, name := range stateFiles {
		errs = append(errs, os.RemoveAll(filepath.Join(s.path, name)))
	}
	removeEmpty(filepath.Join(s.path, "files")) // tailscale makes it and puts nothing into it
	if err := errors.Join(errs...); err != nil {
		return errf(KindState, "remove the node from state folder %s: %v: remove it by hand", s.path, err)
	}
	return nil
}

// removeEmpty removes a folder that contains nothing but folders.
func removeEmpty(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			removeEmpty(filepath.Join(dir, entry.Name()))
		}
	}
	os.Remove(dir) // fails if it is not empty
}
