package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
)

// Farewell is how Logout went. In any case nothing is left of the node here.
type Farewell struct {
	Stored bool   `json:"stored"`          // there was a node
	Error  string `json:"error,omitempty"` // why the control server could not be told of its end
}

// belongings is all that a node keeps in its state folder, the lock excepted.
// Other files may be the host program's, or a person's.
var belongings = []string{"tailscaled.state", "profile-data", "certs"}

// Logout tells the control server, unless ctx ends first, that the stored node
// is no more, and removes what is stored of it. The node must not have started.
func (n *Node) Logout(ctx context.Context) (*Farewell, error) {
	n.mu.Lock()
	config, sealed := n.config, n.sealed || n.closed
	n.mu.Unlock()
	if sealed {
		return nil, errf(KindOther, "the node has started: close it, and log out with another")
	}
	state, err := openState(&config, n.logf)
	if err != nil {
		return nil, err
	}
	defer state.release()
	farewell := &Farewell{Stored: state.enrolled()}
	if farewell.Stored {
		if err := n.sayFarewell(ctx, config, state); err != nil {
			farewell.Error = err.Error()
		}
	}
	var faults []error
	for _, name := range belongings {
		faults = append(faults, os.RemoveAll(filepath.Join(state.path, name)))
	}
	removeEmpty(filepath.Join(state.path, "files")) // tailscale makes it and puts nothing there
	if err := errors.Join(faults...); err != nil {
		return nil, errf(KindState, "state folder %s: what is stored of the node can't be removed: %v: remove it by hand", state.path, err)
	}
	return farewell, nil
}

func (n *Node) sayFarewell(ctx context.Context, config Config, state *stateFolder) error {
	server, err := n.launch(config, state, false)
	if err != nil {
		return err
	}
	defer shut(server)
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

// awaitLogin returns once the login that every start begins has an outcome, or ctx
// ends. A logout during that login is a data race in tailscale's control client, and
// the registration may reach the control server after the logout and undo it.
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

// removeEmpty removes a folder if there are nothing but folders in it.
func removeEmpty(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			removeEmpty(filepath.Join(dir, entry.Name()))
		}
	}
	os.Remove(dir) // refuses one with something in it
}
