//! Which policy files Headscale accepts.

use crate::dialect::{PARTS, file};
use crate::sample;
use crate::server::Headscale;

#[tokio::test(flavor = "multi_thread")]
async fn headscale_accepts_and_refuses_the_files_of_the_list() {
    let headscale = Headscale::new().await;
    for (part, accepted) in PARTS {
        let answer = headscale.policy("check", &file(part)).await;
        assert_eq!(answer.is_ok(), accepted, "{part}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headscale_accepts_the_sample_before_a_device_has_joined_and_not_its_tests() {
    let headscale = Headscale::new().await;
    headscale.policy("set", &sample(true, false)).await.unwrap();
    let refused = headscale.policy("check", &sample(false, true)).await.unwrap_err();
    assert!(refused.contains("resolved to no IP addresses"), "{refused}");
}
