//! Every spelling of methods and targets, through the tailnet, to the real Ollama: forwarded requests are routed to
//! the endpoint that they name, and Ollama receives no others.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use crate::figures::{self, Meant, figure};
use crate::http::*;
use crate::ollama;
use crate::spellings::{self, Spelling};
use crate::tailnet::World;

/// Connections at a time.
const LANES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_spelling_reaches_its_endpoint_or_nothing() {
    let _alone = figures::alone().await;
    let world = World::new(ollama::url(), "").await;
    let (allowed, others): (Vec<_>, Vec<_>) =
        spellings::all().into_iter().partition(|spelling: &Spelling| spelling.allowed(&[]));
    let plain = plain_answers(&allowed).await;
    let logged = || std::fs::read_to_string(ollama::folder("one").join("server.log")).unwrap();
    let before = logged().len();

    let (forwarded, refused) = (ask_all(&world, &allowed).await, ask_all(&world, &others).await);

    let mut wrong = Vec::new();
    let mut expected = BTreeMap::<String, i64>::new();
    for (spelling, answer) in allowed.iter().zip(&forwarded) {
        let [line, logged] = lines(spelling);
        *expected.entry(logged).or_default() += 1;
        if *answer != plain[&line] || is_none(answer) {
            wrong.push(format!("{spelling:?}: {answer:?}, asked plainly {:?}", plain[&line]));
        }
    }
    for (spelling, answer) in others.iter().zip(&refused) {
        let ours = answer.1.is_empty() || answer.1.contains("remote-ollama-proxy: ");
        if !(400..500).contains(&answer.0) || !ours {
            wrong.push(format!("{spelling:?}: {answer:?}"));
        }
    }
    // Ollama's router logs each request before it answers.
    for line in logged().split_off(before).lines().filter(|line| line.starts_with("[GIN] ")) {
        let request = line.rsplit(" | ").next().unwrap();
        *expected.entry(request.split_whitespace().collect::<Vec<_>>().join(" ")).or_default() -= 1;
    }
    for (request, missing) in expected.iter().filter(|(_, missing)| **missing != 0) {
        wrong.push(format!("{request}: {missing} times fewer than expected in Ollama's log"));
    }

    let part = "Spellings of methods and targets";
    figure(part, "asked through the tailnet", (allowed.len() + others.len()) as f64, "", Meant::AtLeast(5e3));
    figure(part, "forwarded, as they are on the allowlist", allowed.len() as f64, "", Meant::AtLeast(500.0));
    figure(part, "refused by the proxy", others.len() as f64, "", Meant::AtLeast(4e3));
    figure(
        part,
        "routed by Ollama to another endpoint, or answered otherwise",
        wrong.len() as f64,
        "",
        Meant::AtMost(0.0),
    );
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Status and body, without the request's number in some answers of Ollama.
type Outcome = (u16, String);

/// Ollama's answers for a missing endpoint.
fn is_none((status, body): &Outcome) -> bool {
    (300..400).contains(status) || ["404 page not found", "405 method not allowed"].contains(&body.trim())
}

/// The plain request for the endpoint of a spelling, as Ollama's router logs it.
fn lines(spelling: &Spelling) -> [String; 2] {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (method, target) = (text(&spelling.method), text(&spelling.target));
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = percent_decode_str(path).decode_utf8().unwrap();
    let shown = if query.is_empty() { path.to_string() } else { format!("{path}?{query}") };
    [format!("{method} {path} {}", spelling.headers), format!("{method} {shown:?}")]
}

/// Ollama's own answers for each endpoint and model, requested plainly.
async fn plain_answers(allowed: &[Spelling]) -> BTreeMap<String, Outcome> {
    let at = ollama::url().trim_start_matches("http://");
    let mut direct = Client::new(TcpStream::connect(at).await.unwrap());
    let mut plain = BTreeMap::new();
    for spelling in allowed {
        let [line, _] = lines(spelling);
        let target = line.split(' ').nth(1).unwrap().into();
        if let Entry::Vacant(slot) = plain.entry(line) {
            let plainly = Spelling { target, ..spelling.clone() };
            slot.insert(outcome(plainly.ask(&mut direct, at).await.0));
        }
    }
    plain
}

/// Sends each through the tailnet, over connections that stay open.
async fn ask_all(world: &World, spellings: &[Spelling]) -> Vec<Outcome> {
    let at = world.at;
    let connect = async move || Client::new(soon("a connection", TcpStream::connect(at)).await.unwrap());
    let lanes = spellings.chunks(spellings.len().div_ceil(LANES)).map(|lane| {
        let lane = lane.to_vec();
        tokio::spawn(async move {
            let (mut client, mut answers) = (connect().await, Vec::new());
            for spelling in lane {
                let (answer, ends) = spelling.ask(&mut client, "remote-ollama-proxy").await;
                answers.push(outcome(answer));
                if ends {
                    assert!(client.rest().await.is_empty(), "more than one answer to {spelling:?}");
                    client = connect().await;
                }
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for lane in lanes.collect::<Vec<_>>() {
        answers.extend(lane.await.unwrap());
    }
    answers
}

fn outcome(answer: Answer) -> Outcome {
    let body = answer.text().split(r#","request_id":"#).next().unwrap_or_default().to_owned();
    (answer.status(), body)
}
