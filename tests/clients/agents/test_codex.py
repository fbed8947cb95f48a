"""Codex, with `codex exec`: a provider of its own, and `--oss`."""

from conftest import END, MODEL, prompt

STEPS = [("exec_command", {"cmd": "echo first"}), ("exec_command", {"cmd": "cat note.txt"})]
OPTIONS = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
# What `--oss` asks before the first prompt.
PROBES = ["GET v1_models 200", "GET api_version 200", "GET api_tags 200"]
# Otherwise it looks for a newer Codex, sends usage figures, and asks github.com and chatgpt.com for plugins.
QUIET = "check_for_update_on_startup = false\nanalytics.enabled = false\nfeatures.plugins = false\n"


def config(scene, text: str) -> None:
    folder = scene.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(QUIET + text)


def own_provider(scene, url: str) -> None:
    config(scene, f"""
model = "{MODEL}"
model_provider = "mine"

[model_providers.mine]
name = "mine"
base_url = "{url}/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
""")


def command(scene, *more: str) -> list:
    return [scene.program("codex"), *OPTIONS, *more, prompt(STEPS, END)]


def codex(scene, **options) -> str:
    return scene.run(*command(scene), **options)


def oss(scene, url: str, model: str, **options) -> str:
    words = command(scene, "--oss", "--local-provider", "ollama", "-m", model)
    return scene.run(*words, CODEX_OSS_BASE_URL=f"{url}/v1", **options)


def test_three_turns(scene):
    own_provider(scene, scene.laptop)
    assert END in codex(scene)
    *_, last = scene.asked(*["POST v1_responses 200"] * 3)
    assert "the text of the note" in last["body"]


def test_three_turns_with_oss(scene):
    config(scene, "")
    assert END in oss(scene, scene.laptop, MODEL)
    scene.asked(*PROBES, *["POST v1_responses 200"] * 3)


def test_refused_endpoint_is_shown(scene):
    own_provider(scene, scene.guest)
    assert "403 Forbidden: remote-ollama-proxy: POST /v1/responses: " in codex(scene, status=1)
    scene.asked("POST /v1/responses 403 grant")


def test_refused_model_is_shown(scene):
    own_provider(scene, scene.narrow)
    assert "ERROR: remote-ollama-proxy: POST /v1/responses: " in codex(scene, status=1)
    scene.asked("POST v1_responses 404 model")


def test_refusal_is_asked_for_again_by_oss(scene):
    config(scene, "")
    assert "Reconnecting... 5/5" in oss(scene, scene.guest, MODEL, status=1)
    scene.asked(*PROBES, *["POST /v1/responses 403 grant"] * 6)


def test_oss_pulls_a_model_without_a_tag(scene):
    config(scene, "")
    assert "failed to start pull: HTTP 403 Forbidden" in oss(scene, scene.laptop, MODEL.partition(":")[0], status=1)
    scene.asked(*PROBES, "POST /api/pull 403 management")


def test_openai_base_url_has_no_effect(scene):
    # The prompt would leave the tailnet.
    config(scene, "")
    variables = {"OPENAI_BASE_URL": f"{scene.laptop}/v1", "OPENAI_API_KEY": "unused", "CODEX_API_KEY": "unused"}
    with scene.start(*command(scene, "-m", MODEL), **variables):
        scene.left_for("api.openai.com:443")
    scene.asked()
