package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asProgram is the variable that makes the test binary run the program itself.
const asProgram = "TESTTAILNET_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// start runs the program and reads its addresses.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, stdin io.Closer, at addresses) {
	t.Helper()
	cmd = program(t, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &at)
	}
	if err != nil {
		t.Fatalf("first line %q: %v", line, err)
	}
	return cmd, stdin, at
}

func TestProgramPrintsItsAddressesAndEndsOnRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.hujson")
	if err := os.WriteFile(file, []byte(`{"grants": [], /* closed */}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, stdin, at := start(t, "-policy", file, "-until-stdin-closes")
	res, err := http.Get(at.API + "/policy")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(text), "/* closed */") {
		t.Errorf("%q %v", text, err)
	}
	if !strings.HasPrefix(at.Control, "http://127.0.0.1:") || at.DERP == "" || at.STUN == "" {
		t.Errorf("%+v", at)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}

	cmd, _, _ = start(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestBadInvocationIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.hujson")
	if err := os.WriteFile(file, []byte(`{"grant": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for reason, args := range map[string][]string{
		`unknown field "grant"`:    {"-policy", file},
		`unexpected argument "x"`:  {"x"},
		"0.0.0.0:0 is no loopback": {"-api-addr", "0.0.0.0:0"},
	} {
		out, err := program(t, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), reason) {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
}
