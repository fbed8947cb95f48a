use proptest::prelude::*;

use super::*;

/// The model that is known at the end of a body, read whole and byte by byte.
fn read(keys: ModelKeys, body: &[u8]) -> Result<Option<String>, BodyFault> {
    let mut whole = ModelReader::new(keys);
    let fed = whole.feed(body).map(|()| whole.model().map(str::to_owned));
    let mut slow = ModelReader::new(keys);
    let slowly = body.iter().try_for_each(|b| slow.feed(&[*b])).map(|()| slow.model().map(str::to_owned));
    assert_eq!(fed, slowly);
    fed
}

fn model(body: &str) -> Result<Option<String>, BodyFault> {
    read(ModelKeys::Model, body.as_bytes())
}

#[test]
fn model_is_found_at_any_place_and_in_any_spelling() {
    for body in [
        r#"{"model":"a"}"#,
        r#" { "model" : "a" } "#,
        "{\r\n\t\"stream\":true,\"model\":\"a\"}\n",
        r#"{"messages":[{"role":"user","content":"\"model\":\"b\"","model":"c"}],"model":"a"}"#,
        r#"{"x":{"model":"b"},"y":-1.5e3,"z":null,"":"","model":"a","w":[[[]]]}"#,
        r#"{"MODEL":"a"}"#,
        r#"{"Model":"a"}"#,
        r#"{"\u006dode\u006c":"\u0061"}"#,
        r#"{"x":"\\","model":"a","y":"\\\""}"#,
        r#"{"modelx":"b","mode":"c","models":"d","model ":"e","model":"a"}"#,
    ] {
        assert_eq!(model(body), Ok(Some("a".to_owned())), "{body}");
    }
}

#[test]
fn model_is_known_before_the_body_ends() {
    let mut reader = ModelReader::new(ModelKeys::Model);
    reader.feed(br#"{"model":"a"#).unwrap();
    assert_eq!(reader.model(), None);
    reader.feed(br#"","messages":["#).unwrap();
    assert_eq!(reader.model(), Some("a"));
    assert_eq!(reader.feed(br#"],"mOdel":"b"}"#), Err(BodyFault::Twice));
}

#[test]
fn ambiguous_bodies_are_refused() {
    for body in [
        r#"{"model":"a","model":"a"}"#,
        r#"{"model":"a","Model":"b"}"#,
        r#"{"model":"a","mod\u0065l":"b"}"#,
        r#"{"model":"","model":"b"}"#,
    ] {
        assert_eq!(model(body), Err(BodyFault::Twice), "{body}");
    }
    for body in [r#"{"model":1}"#, r#"{"model":null}"#, r#"{"model":["a"]}"#, r#"{"model":"a","MODEL":null}"#]
    {
        assert_eq!(model(body), Err(BodyFault::NotName), "{body}");
    }
    for body in [
        "\u{feff}{}",
        "[]",
        "null",
        "\"model\"",
        "x",
        r#"{"model":"a"}{"model":"b"}"#,
        r#"{"model":"a"}x"#,
        "{\"model\":\"a\"}\0",
        r#"{model:"a"}"#,
        "{,}",
        r#"{"a" "b"}"#,
        r#"{"a":}"#,
        r#"{"a":1:2}"#,
        r#"{'a':1}"#,
    ] {
        assert_eq!(model(body), Err(BodyFault::NotObject), "{body:?}");
    }
    assert_eq!(model(r#"{"model":"\ud800"}"#), Err(BodyFault::NotName));
    assert_eq!(read(ModelKeys::Model, b"{\"model\":\"\xff\"}"), Err(BodyFault::NotName));
    assert_eq!(model(&format!(r#"{{"model":"{}"}}"#, "a".repeat(5000))), Err(BodyFault::NotName));
    for none in ["", " ", "{}", "{", r#"{"model":""}"#, r#"{"model":"a"#, r#"{"name":"a"}"#] {
        assert_eq!(model(none), Ok(None), "{none}");
    }
}

#[test]
fn name_replaces_an_absent_or_empty_model_at_api_show() {
    let show = |body: &str| read(ModelKeys::ModelOrName, body.as_bytes());
    for body in [
        r#"{"name":"a"}"#,
        r#"{"model":"","name":"a"}"#,
        r#"{"Name":"a","model":""}"#,
        r#"{"name":"b","model":"a"}"#,
        r#"{"model":"a","name":""}"#,
    ] {
        assert_eq!(show(body), Ok(Some("a".to_owned())), "{body}");
    }
    assert_eq!(show(r#"{"name":"a""#), Ok(None), "a model could follow");
    assert_eq!(show(r#"{"name":"a","NAME":"a"}"#), Err(BodyFault::Twice));
    assert_eq!(show(r#"{"model":"a","name":1}"#), Err(BodyFault::NotName));
}

#[test]
fn deep_nesting_and_long_keys_take_no_memory() {
    let deep = format!(r#"{{"x":{}{},"model":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(model(&deep), Ok(Some("a".to_owned())));
    let mut reader = ModelReader::new(ModelKeys::Model);
    reader.feed(br#"{""#).unwrap();
    reader.feed(&vec![b'a'; 1 << 20]).unwrap();
    assert!(reader.key.get().is_none());
}

proptest! {
    /// serde_json's own output is read as serde_json wrote it.
    #[test]
    fn valid_objects_are_read_as_written(keys in proptest::collection::vec("[a-c\\\\\"]{0,3}|model|Model|name", 0..6), value in "\\PC{0,6}") {
        let json = |text: &str| serde_json::Value::from(text).to_string();
        let pairs: Vec<_> = keys.iter().map(|key| format!("{}:{}", json(key), json(&value))).collect();
        let body = format!("{{{}}}", pairs.join(","));
        let want = keys.iter().filter(|key| key.eq_ignore_ascii_case("model")).count();
        match want {
            0 => prop_assert_eq!(model(&body), Ok(None)),
            1 => prop_assert_eq!(model(&body), Ok(Some(value).filter(|v| !v.is_empty()))),
            _ => prop_assert_eq!(model(&body), Err(BodyFault::Twice)),
        }
    }
}
