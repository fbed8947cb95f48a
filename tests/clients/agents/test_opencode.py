"""opencode, with `opencode run` and an OpenAI-compatible provider."""

import json

from conftest import END, MODEL, prompt

STEPS = [("bash", {"command": "echo first", "description": "Prints a word"}),
         ("bash", {"command": "cat note.txt", "description": "Prints a file"})]


def opencode(scene, url: str, **options) -> str:
    (scene.work / "opencode.json").write_text(json.dumps({
        "autoupdate": False,
        "share": "disabled",
        "permission": {"bash": "allow"},
        "provider": {"mine": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": f"{url}/v1"},
            "models": {MODEL: {}},
        }},
        "model": f"mine/{MODEL}",
    }))
    # It also looks for a list of models and for packages of its own.
    return scene.run(scene.program("opencode"), "run", prompt(STEPS, END), OPENCODE_DISABLE_MODELS_FETCH="1",
                     npm_config_offline="true", **options)


def test_three_turns(scene):
    assert END in opencode(scene, scene.laptop)
    # One more for the title of the conversation.
    *_, last = scene.asked(*["POST v1_chat_completions 200"] * 4)
    assert "the text of the note" in last["body"]


def test_refused_endpoint_is_shown(scene):
    assert "remote-ollama-proxy: POST /v1/chat/completions: " in opencode(scene, scene.guest, status=1)
    scene.asked(*["POST /v1/chat/completions 403 grant"] * 2)


def test_refused_model_is_shown(scene):
    assert "(rule: model)" in opencode(scene, scene.narrow, status=1)
    scene.asked(*["POST v1_chat_completions 404 model"] * 2)
