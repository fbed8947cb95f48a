//! Who may send which request to the page port.

use remote_ollama_proxy::policy::AccessMode;
use serde_json::json;

use super::*;

/// Every path of the page, with its method.
const ROUTES: [(&str, &str); 6] = [
    ("GET", "/"),
    ("GET", "/page.css"),
    ("GET", "/page.js"),
    ("GET", "/icon.svg"),
    ("GET", "/events"),
    ("POST", "/requests/1-1/cancel"),
];

/// Headers that a browser adds to the page's own request to cancel.
const OWN: &str = "Origin: http://remote-ollama-proxy:11434\r\nX-Remote-Ollama-Proxy: page\r\n";

#[tokio::test]
async fn page_requires_its_grant() {
    for access in [AccessMode::Network, AccessMode::Grants] {
        let running = Boundary::new(NO_OLLAMA).access(access).start();
        let site = Site::of(&running);
        for grants in [
            vec![],
            vec![json!({})],
            vec![json!({"endpoints": ["*"], "metrics": true})],
            vec![json!({"page": true})],
            vec![json!({"page": "admin", "unheard": 1})],
        ] {
            running.grant(grants.clone());
            let others = [("GET", "/setup"), ("GET", "/setup.txt"), ("GET", "/nowhere"), ("PUT", "/")];
            for (method, path) in ROUTES.into_iter().chain(others) {
                let answer = site.ask(&request(method, path, OWN)).await;
                assert_eq!(answer.status(), 403, "{grants:?}: {method} {path}");
                assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());
                let kind = answer.header("content-type").unwrap();
                assert!(kind.starts_with("application/json"), "{kind}");
            }
            // A person can read it in a browser; the text is the same for each path.
            let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
            for path in ["/", "/page.js", "/&lt;"] {
                let answer = site.ask(&request("GET", path, browser)).await;
                let said = (answer.status(), answer.header("content-type"));
                assert_eq!(said, (403, Some("text/html; charset=utf-8")), "{path}");
                assert!(answer.header("content-security-policy").is_some_and(|csp| csp.contains("'none'")));
                let text = answer.text();
                let shown = path.replace('&', "&amp;");
                assert!(text.contains(&format!("<p>remote-ollama-proxy: GET {shown}: ")), "{text}");
                assert!(text.contains("(rule: grant)") && !text.contains("script"), "{text}");
                let id = answer.header("x-request-id").unwrap();
                assert!(text.contains(&format!("<p>Request: {id}</p>")), "{text}");
            }
        }
        for page in ["view", "admin"] {
            running.grant(vec![json!({"endpoints": []}), json!({"endpoints": [], "page": page})]);
            let answer = site.ask(&get("/")).await;
            assert_eq!(
                (answer.status(), answer.header("content-type")),
                (200, Some("text/html; charset=utf-8"))
            );
            assert!(answer.text().starts_with("<!doctype html>"));
            let mut stream = site.watch().await;
            stream.next().await.unwrap();
            assert_eq!(stream.known["you"]["page"], page);
        }
    }
}

#[tokio::test]
async fn page_port_serves_only_the_page_with_security_headers() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    let refused = [
        (get("/index.html"), 404, "page-only"),
        (get("/api/tags"), 404, "page-only"),
        (get("/metrics"), 404, "page-only"),
        (get("/requests"), 404, "page-only"),
        (get("/setup"), 404, "page-only"),
        (post("/v1/chat/completions", "{}"), 404, "page-only"),
        (get("/%69con.svg"), 403, "target"),
        (get("/x/../page.js"), 403, "target"),
        (get("/").replace("remote-ollama-proxy", "evil.example"), 421, "host"),
        (get("/events").replace("remote-ollama-proxy", "127.0.0.1"), 421, "host"),
        (get("/").replace("Host: remote-ollama-proxy:11434\r\n", ""), 400, "framing"),
        (post("/", ""), 405, "method"),
        (post("/events", ""), 405, "method"),
        (get("/requests/1-1/cancel"), 405, "method"),
        (request("GET", "/events", "Origin: http://evil.example\r\n"), 403, "cross-site"),
        (request("GET", "/page.js", "Origin: null\r\n"), 403, "cross-site"),
        (
            request(
                "OPTIONS",
                "/requests/1-1/cancel",
                "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
            ),
            405,
            "method",
        ),
        (request("HEAD", "/page.js", "").replace("HEAD", "PUT"), 405, "method"),
    ];
    let sound = ["/", "/page.css", "/page.js", "/icon.svg"].map(|path| (get(path), 200, ""));
    for (request, status, rule) in refused.into_iter().chain(sound) {
        let answer = site.ask(&request).await;
        assert_eq!(answer.status(), status, "{request}");
        assert!(answer.text().contains(&format!("(rule: {rule})")) || status == 200, "{}", answer.text());
        let policy = answer.header("content-security-policy").unwrap();
        for part in
            ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request}");
        }
        assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
    }
    assert!(ollama.untouched().await);
    // Refusals are counted, and the Ollama port does not serve the page.
    assert!(running.counted().contains("refused_total{rule=\"page-only\"} 6\n"), "{}", running.counted());
    assert_eq!(running.ask(&get("/page.js")).await.status(), 403);
}

#[tokio::test]
async fn only_an_admin_of_the_page_cancels() {
    let ollama = Ollama::new().await;
    let running = Boundary::new(&ollama.url).start();
    let site = Site::of(&running);
    let (mut client, _upstream) = running.stream_of(bob(), &ollama).await;
    let id = running.proxy.sessions().all().iter().find_map(|s| s.request()).unwrap().id;
    let path = format!("/requests/{id}/cancel");
    let header = "X-Remote-Ollama-Proxy: page\r\n";
    let own = "Origin: http://remote-ollama-proxy:11434\r\n";

    running.grant(vec![json!({"page": "view"})]);
    let answer = site.ask(&request("POST", &path, OWN)).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().contains("(rule: grant)"), "{}", answer.text());

    running.grant(vec![json!({"page": "admin"})]);
    for more in [
        String::new(),
        header.to_owned(),
        own.to_owned(),
        "Sec-Fetch-Site: same-origin\r\n".to_owned(),
        format!("{header}Origin: http://evil.example\r\n"),
        format!("{header}Origin: null\r\n"),
        format!("{header}Origin: http://remote-ollama-proxy\r\n"),
        format!("{header}Origin: http://remote-ollama-proxy:80\r\n"),
        format!("{header}Origin: ftp://remote-ollama-proxy:11434\r\n"),
        format!("{header}Origin: http://remote-ollama-proxy:11434.evil.example\r\n"),
        format!("{header}{own}{own}"),
        format!("{header}{own}Sec-Fetch-Site: cross-site\r\n"),
        format!("{header}{own}Sec-Fetch-Site: same-site\r\n"),
        format!("{header}Sec-Fetch-Site: none\r\n"),
        format!("{header}Sec-Fetch-Site: same-origin\r\nOrigin: http://evil.example\r\n"),
        format!("{header}Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: same-origin\r\n"),
    ] {
        let answer = site.ask(&request("POST", &path, &more)).await;
        assert_eq!(answer.status(), 403, "{more}");
        assert!(answer.text().contains("(rule: cross-site)"), "{more}{}", answer.text());
    }
    assert_eq!(running.proxy.sessions().all().iter().filter(|s| s.running().is_some()).count(), 1);
    // A site whose name resolves to this address is another site.
    let rebound = request("POST", &path, &OWN.replace("remote-ollama-proxy:", "evil.example:"));
    let answer = site.ask(&rebound.replace("Host: remote-ollama-proxy", "Host: evil.example")).await;
    assert_eq!(answer.status(), 421);

    for (more, cancelled) in [
        (OWN.to_owned(), true),
        (OWN.to_owned(), false),
        (format!("{header}Sec-Fetch-Site: same-origin\r\n"), false),
    ] {
        let answer = site.ask(&request("POST", &path, &more)).await;
        assert_eq!((answer.status(), answer.text()), (200, &*json!({ "cancelled": cancelled }).to_string()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn other_sites_cannot_read_the_page() {
    let running = Boundary::new(NO_OLLAMA).start();
    let site = Site::of(&running);
    running.grant(vec![json!({"page": "admin"})]);
    for site_of in ["cross-site", "same-site", "unheard-of"] {
        let more = format!("Sec-Fetch-Site: {site_of}\r\n");
        for path in ["/events", "/page.js", "/page.css", "/icon.svg"] {
            let answer = site.ask(&request("GET", path, &more)).await;
            assert_eq!(answer.status(), 403, "{site_of} {path}");
            assert!(answer.text().contains("(rule: cross-site)"), "{}", answer.text());
        }
        // Links to the page work.
        assert_eq!(site.ask(&request("GET", "/", &more)).await.status(), 200);
    }
    for own in ["same-origin", "none"] {
        let answer = site.ask(&request("GET", "/page.js", &format!("Sec-Fetch-Site: {own}\r\n"))).await;
        assert_eq!(answer.status(), 200);
    }
}
