//! Keys that are replaced while a transfer runs.
//!
//! Owns what becomes of a transfer whose credentials end without having said when.

use std::sync::{Arc, Mutex};

use haul_testkit::{Fault, Op, Rule};

use crate::harness::{MIB, World};

fn credentials(id: &str, secret: &str) -> String {
    format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
}

/// Which keys signed, in the order of requests.
fn signers(world: &World) -> Arc<Mutex<Vec<String>>> {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let list = Arc::clone(&seen);
    let look = Fault::hook(move |head| {
        let signature = head.headers.get("authorization").unwrap().to_str().unwrap();
        let id = signature.split_once("Credential=").unwrap().1.split('/').next().unwrap();
        list.lock().unwrap().push(id.to_owned());
    });
    world.server.faults().add(Rule::on(Op::Any).always().then(look));
    seen
}

/// S3.8, E.29: the file is read again once when the store says that the session has expired, and the
/// transfer goes on with what is there now.
#[tokio::test]
async fn credentials_that_were_replaced_are_read_again() {
    for (status, code) in
        [(400, "ExpiredToken"), (403, "ExpiredToken"), (403, "InvalidAccessKeyId")]
    {
        let world = World::new().await;
        world.file("a", vec![1; 24 * MIB]);
        let (old, new) = (world.server.other_access_key(), world.server.access_key());
        let secret = world.server.secret_key();
        let file = world.path("credentials");
        std::fs::write(&file, credentials(old, secret)).unwrap();
        let seen = signers(&world);
        let (path, next) = (file.clone(), credentials(new, secret));
        let replace = Fault::hook(move |_| std::fs::write(&path, &next).unwrap());
        let refuse = Fault::status(status).code(code);
        world.server.faults().add(Rule::on(Op::UploadPart).part(2).then(replace).then(refuse));
        let run = world.haul(["cp", "-q", "-c", "1", "a", "s3://bucket/k"]);
        let run = run.without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
        let done = run.env("AWS_SHARED_CREDENTIALS_FILE", &file).run().await;
        assert_eq!(done.code, 0, "{done}");
        let seen = seen.lock().unwrap();
        let changed = seen.iter().position(|id| id == new).unwrap();
        assert!(seen[..changed].iter().all(|id| id == old), "{seen:?}");
        assert!(seen[changed..].iter().all(|id| id == new), "{seen:?}");
        assert_eq!(world.stored("k").len(), 24 * MIB);
        world.assert_clean();
    }
}

/// E.29: those that are there and are refused are refused once more, and no more often.
#[tokio::test]
async fn credentials_that_have_ended_are_asked_about_once() {
    let world = World::new().await;
    world.file("a", vec![1; 100]);
    let file = world.path("credentials");
    std::fs::write(&file, credentials("AKIDENDED", "none")).unwrap();
    let refuse = Fault::status(403).code("ExpiredToken");
    world.server.faults().add(Rule::on(Op::PutObject).always().then(refuse));
    let run = world.haul(["cp", "-q", "a", "s3://bucket/k"]);
    let run = run.without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
    let done = run.env("AWS_SHARED_CREDENTIALS_FILE", &file).run().await;
    assert_eq!(done.code, 5, "{done}");
    assert_eq!(world.server.calls().count(Op::PutObject), 2);
}
