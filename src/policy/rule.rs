//! The names of the rules by which the proxy answers a request itself. This is their only list: answers, the access log, the
//! metrics and the events take the names from here.

/// Why the proxy answers a request itself. Its name is the same in logs and in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The target is malformed or has more slashes than one way to read it.
    Target,
    /// No endpoint has this path.
    Allowlist,
    /// The config does not allow the endpoint.
    EndpointOff,
    /// The path changes models, the account or the machine.
    Management,
    /// The peer's grants do not include this.
    Grant,
    /// The metrics port serves only the metrics.
    MetricsOnly,
    /// The page port serves only the page.
    PageOnly,
    /// A web page of another site made the request.
    CrossSite,
    /// The identity has the page open too often.
    PageOpen,
    /// The endpoint has another method.
    Method,
    /// The client asks for a WebSocket.
    WebSocket,
    /// The request is a preflight, and preflights are off.
    PreflightOff,
    /// `Host` does not name this node.
    Host,
    /// The model is not allowed, or not certain.
    Model,
    /// The client may not set `keep_alive`.
    KeepAlive,
    /// The client may not set options with which Ollama loads a model again.
    LoadOptions,
    /// The request is ambiguous or malformed.
    Framing,
    /// The identity has too many requests at once.
    Concurrency,
    /// The identity has too many requests in a minute.
    Rate,
    /// A quota of requests is spent.
    Requests,
    /// A quota of tokens is spent.
    Tokens,
    /// The queue is full.
    QueueFull,
    /// The request waited too long.
    QueueTime,
    /// The body is larger than the limit.
    BodySize,
    /// The proxy is stopping.
    Stopping,
    /// The head of the request was not complete in time.
    HeadTime,
    /// The body did not continue in time.
    BodyIdle,
    /// The client did not read the answer in time.
    AnswerIdle,
    /// The client sent no request in time.
    ConnectionIdle,
    /// Ollama does not answer.
    UpstreamDown,
    /// Ollama broke off, or its answer can't be forwarded.
    UpstreamFailed,
    /// The client has to use HTTPS.
    Https,
    /// The client has to use HTTPS, and there is no certificate yet.
    Certificate,
    /// The client has left.
    ClientLeft,
}

/// Makes [`Rule::ALL`] and [`Rule::name`] of one list, so that neither can lack a rule.
macro_rules! names {
    ($($rule:ident = $name:literal,)*) => {
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

names! {
    Target = "target",
    Allowlist = "allowlist",
    EndpointOff = "endpoint-off",
    Management = "management",
    Grant = "grant",
    MetricsOnly = "metrics-only",
    PageOnly = "page-only",
    CrossSite = "cross-site",
    PageOpen = "page-open",
    Method = "method",
    WebSocket = "websocket",
    PreflightOff = "preflight-off",
    Host = "host",
    Model = "model",
    KeepAlive = "keep-alive",
    LoadOptions = "load-options",
    Framing = "framing",
    Concurrency = "concurrency",
    Rate = "rate",
    Requests = "requests",
    Tokens = "tokens",
    QueueFull = "queue-full",
    QueueTime = "queue-time",
    BodySize = "body-size",
    Stopping = "stopping",
    HeadTime = "head-time",
    BodyIdle = "body-idle",
    AnswerIdle = "answer-idle",
    ConnectionIdle = "connection-idle",
    UpstreamDown = "upstream-down",
    UpstreamFailed = "upstream-failed",
    Https = "https",
    Certificate = "certificate",
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
