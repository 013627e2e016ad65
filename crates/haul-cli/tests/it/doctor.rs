//! `haul doctor`: what would be used, and whether it works.

use crate::harness::{Done, World};

fn verdict<'a>(done: &'a Done, name: &str) -> (&'a str, &'a str) {
    let line = done.out().lines().find(|l| l[6..].starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name}: {done}"));
    (line[..4].trim(), line[6..].strip_prefix(name).unwrap().trim())
}

#[tokio::test]
async fn a_store_that_works() {
    let world = World::new().await;
    let done = world.haul(["doctor"]).run().await;
    let url = world.server.endpoint_url();
    let (ok, text) = verdict(done.ok(), "endpoint");
    assert_eq!((ok, text), ("ok", &*format!("{url} (environment AWS_ENDPOINT_URL)")));
    assert_eq!(
        verdict(&done, "credentials").1,
        "environment AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    );
    assert!(verdict(&done, "store").1.starts_with("it answers: 1 bucket, in "), "{done}");
    for name in ["configuration", "open files", "memory", "temporary", "state", "certificates"] {
        verdict(&done, name);
    }
    assert!(verdict(&done, "identity").1.ends_with("/identity (made when needed)"), "{done}");
    for secret in [world.server.access_key(), world.server.secret_key()] {
        assert!(!done.out().contains(secret), "{done}");
    }
    let done = world.haul(["doctor", "--bucket", "s3://bucket"]).run().await;
    assert_eq!(verdict(done.ok(), "store").0, "ok", "{done}");
    let done = world.haul(["doctor", "--json"]).run().await;
    assert!(done.ok().json().iter().all(|l| l["type"] == "check" && l["verdict"].is_string()));
}

#[tokio::test]
async fn what_does_not_work_fails() {
    let world = World::new().await;
    let done = world.haul(["doctor", "--endpoint-url", "http://127.0.0.1:1"]).run().await;
    assert_eq!(verdict(done.ended(1), "store").0, "fail", "{done}");
    let done = world.haul(["doctor"]).env("AWS_SECRET_ACCESS_KEY", "wrong").run().await;
    assert_eq!(verdict(done.ended(1), "store").0, "fail", "{done}");
    let done = world.haul(["doctor", "--bucket", "s3://none"]).run().await;
    assert_eq!(verdict(done.ended(1), "store").0, "fail", "{done}");
    // G.5: a profile that is nowhere.
    let done = world.haul(["doctor", "--profile", "typo"]).run().await;
    let said = "there is no profile called typo in haul.toml or the AWS files";
    assert_eq!(verdict(done.ended(1), "credentials"), ("fail", said), "{done}");
    assert_eq!(verdict(&done, "in force").0, "fail", "{done}");
    let done = world.haul(["doctor"]).env("SSL_CERT_FILE", "none.pem").run().await;
    assert_eq!(verdict(done.ended(1), "certificates").0, "fail", "{done}");
}
