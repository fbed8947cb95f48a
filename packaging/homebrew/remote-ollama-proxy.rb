# A formula that installs the files of a release. This copy is a template: scripts/release-files.sh fills in the repository, the
# version and the checksums, and each release has the result. Its syntax is checked, but it was not run under brew.
class RemoteOllamaProxy < Formula
  desc "Your own Ollama, reachable inside your tailnet by exactly the peers you chose"
  homepage "https://github.com/OWNER/remote-ollama-proxy"
  version "0.0.0"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
      url "https://github.com/OWNER/remote-ollama-proxy/releases/download/v0.0.0/remote-ollama-proxy-0.0.0-aarch64-apple-darwin.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000" # aarch64-apple-darwin
    end
    on_intel do
      url "https://github.com/OWNER/remote-ollama-proxy/releases/download/v0.0.0/remote-ollama-proxy-0.0.0-x86_64-apple-darwin.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000" # x86_64-apple-darwin
    end
  end

  on_linux do
    on_arm do
      url "https://github.com/OWNER/remote-ollama-proxy/releases/download/v0.0.0/remote-ollama-proxy-0.0.0-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000" # aarch64-unknown-linux-gnu
    end
    on_intel do
      url "https://github.com/OWNER/remote-ollama-proxy/releases/download/v0.0.0/remote-ollama-proxy-0.0.0-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "0000000000000000000000000000000000000000000000000000000000000000" # x86_64-unknown-linux-gnu
    end
  end

  def install
    bin.install "remote-ollama-proxy"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/remote-ollama-proxy.bash" => "remote-ollama-proxy"
    fish_completion.install "completions/remote-ollama-proxy.fish"
    zsh_completion.install "completions/_remote-ollama-proxy"
    pkgshare.install "config.example.toml", "acl"
    doc.install "third-party-licences"
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
