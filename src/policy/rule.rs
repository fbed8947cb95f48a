//! The names of the rules by which the proxy answers a request itself. This is their only list: answers, the access log, the
//! metrics and the events take the names from here.

/// Defines [`Rule`] together with the names, so that neither can lack one.
macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal,)*) => {
        /// Why the proxy answers a request itself. Its name is the same in logs and in answers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Rule] = &[$(Rule::$rule,)*];

            /// The name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Rule::$rule => $name,)*
                }
            }
        }
    };
}

rules! {
    /// The target is malformed or has more slashes than one way to read it.
    Target = "target",
    /// No endpoint has this path.
    Allowlist = "allowlist",
    /// The config does not allow the endpoint.
    EndpointOff = "endpoint-off",
    /// The path changes models, the account or the machine.
    Management = "management",
    /// The peer's grants do not include this.
    Grant = "grant",
    /// The metrics port serves only the metrics.
    MetricsOnly = "metrics-only",
    /// The page port serves only the page.
    PageOnly = "page-only",
    /// A web page of another site made the request.
    CrossSite = "cross-site",
    /// The identity has the page open too often.
    PageOpen = "page-open",
    /// The endpoint has another method.
    Method = "method",
    /// The client asks for a WebSocket.
    WebSocket = "websocket",
    /// The request is a preflight, and preflights are off.
    PreflightOff = "preflight-off",
    /// `Host` does not name this node.
    Host = "host",
    /// The model is not allowed, or not certain.
    Model = "model",
    /// The client may not set `keep_alive`.
    KeepAlive = "keep-alive",
    /// The client may not set options with which Ollama loads a model again.
    LoadOptions = "load-options",
    /// The request is ambiguous or malformed.
    Framing = "framing",
    /// The identity has too many requests at once.
    Concurrency = "concurrency",
    /// The identity has too many requests in a minute.
    Rate = "rate",
    /// A quota of requests is spent.
    Requests = "requests",
    /// A quota of tokens is spent.
    Tokens = "tokens",
    /// The queue is full.
    QueueFull = "queue-full",
    /// The request waited too long.
    QueueTime = "queue-time",
    /// The body is larger than the limit.
    BodySize = "body-size",
    /// The proxy is stopping.
    Stopping = "stopping",
    /// The head of the request was not complete in time.
    HeadTime = "head-time",
    /// The body did not continue in time.
    BodyIdle = "body-idle",
    /// The client did not read the answer in time.
    AnswerIdle = "answer-idle",
    /// The client sent no request in time.
    ConnectionIdle = "connection-idle",
    /// Ollama does not answer.
    UpstreamDown = "upstream-down",
    /// Ollama broke off, or its answer can't be forwarded.
    UpstreamFailed = "upstream-failed",
    /// The client has to use HTTPS.
    Https = "https",
    /// The client has to use HTTPS, and there is no certificate yet.
    Certificate = "certificate",
    /// The client has left.
    ClientLeft = "client-left",
}

impl Rule {
    /// The rule with this name. `None` for a rule of another version, as an older access log can have.
    pub fn named(name: &str) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_belongs_to_one_rule() {
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name()), Some(*rule));
        }
        assert_eq!(Rule::named("no-such-rule"), None);
    }
}
