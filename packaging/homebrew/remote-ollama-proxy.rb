# A formula for your own tap. Its syntax is checked, but it was not run under brew. To use it, create a tap (`brew tap-new`),
# put this file into its Formula folder, and fill in the places that ../README.md lists, or set `head` to a repository.
class RemoteOllamaProxy < Formula
  desc "Your own Ollama, reachable inside your tailnet by exactly the peers you chose"
  # To fill in at a release: these three.
  homepage "https://example.com/remote-ollama-proxy"
  url "https://example.com/remote-ollama-proxy-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "go" => :build # the tailnet node
  depends_on "rust" => :build
  uses_from_macos "llvm" => :build # libclang, which reads the node's header

  def install
    system "cargo", "install", *std_cargo_args
    generate_completions_from_executable(bin/"remote-ollama-proxy", "completions")
    system bin/"remote-ollama-proxy", "man", "--to", man1
    pkgshare.install "config.example.toml", "acl"
  end

  # For `brew services` without sudo: as root the proxy ends with exit code 67. Use either this or `remote-ollama-proxy
  # service install`: only one process can be the node.
  service do
    run [opt_bin/"remote-ollama-proxy", "run"]
    # As in launchd/com.remote-ollama-proxy.plist: restarted after a failure, at most twice a minute.
    keep_alive successful_exit: false
    throttle_interval 30
    process_type :interactive
    error_log_path var/"log/remote-ollama-proxy.log"
  end

  def caveats
    <<~TEXT
      Next, write a config and get an auth key for your tailnet:
        remote-ollama-proxy init
    TEXT
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/remote-ollama-proxy version")
    (testpath/"config.toml").write "node.hostname = 'brewed'\nnode.state_dir = '#{testpath}/state'\n"
    assert_match "brewed", shell_output("#{bin}/remote-ollama-proxy check --config #{testpath}/config.toml")
  end
end
