//! Endpoints that not every version of Ollama has: switched on, a client gets Ollama's own answer, whatever it is.

use tokio::net::TcpStream;

use crate::http::*;
use crate::ollama;
use crate::tailnet::World;

const ON: &str = "endpoints.v1_audio_transcriptions = true\nendpoints.v1_images_generations = true\n\
    endpoints.v1_images_edits = true\nendpoints.v1_responses_compact = true\n";

const JSON: &str = "application/json";

/// Requests to which Ollama's answer is the same each time.
const REQUESTS: [(&str, &str, &str); 7] = [
    ("/v1/images/generations", JSON, r#"{"model":"no-such","prompt":"a cat"}"#),
    ("/v1/images/generations", JSON, r#"{"model":"tiny","prompt":""}"#),
    ("/v1/images/edits", JSON, r#"{"model":"tiny","prompt":"a cat"}"#),
    ("/v1/images/edits", "multipart/form-data; boundary=b", FORM),
    ("/v1/responses/compact", JSON, r#"{"model":"no-such"}"#),
    ("/v1/audio/transcriptions", "multipart/form-data; boundary=b", FORM),
    ("/v1/audio/transcriptions?model=no-such", "multipart/form-data; boundary=b", "--b--\r\n"),
];

const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nno-such\r\n--b\r\nContent-Disposition: \
    form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n";

#[tokio::test]
async fn endpoints_of_some_versions_pass_if_switched_on() {
    let world = World::new(ollama::url(), ON).await;
    let plain = World::new(ollama::url(), "").await;
    for (target, kind, body) in REQUESTS {
        let request = |host: &str| {
            format!(
                "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let host = ollama::url().trim_start_matches("http://");
        let mut client = Client::new(TcpStream::connect(host).await.unwrap());
        client.send(request(host)).await;
        let direct = client.answer().await;
        let answer = world.ask(&request("remote-ollama-proxy")).await;
        assert_eq!((answer.status(), answer.text()), (direct.status(), direct.text()), "{target}");
        assert_eq!(answer.header("content-type"), direct.header("content-type"), "{target}");
        println!("{target}: {} {}", direct.status(), direct.text());

        let refused = plain.ask(&request("remote-ollama-proxy")).await;
        assert!(refused.status() == 403 && refused.text().contains("endpoint-off"), "{}", refused.text());
    }
}
