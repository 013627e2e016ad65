//! Secrets stay out of both streams, however much is asked for.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use haul_testkit::{Fault, Op, Rule};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Done, MIB, World};

const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKENdoNotShow";

fn assert_hidden(done: &Done, world: &World, signatures: &[String]) {
    let out = String::from_utf8_lossy(&done.bytes);
    let secrets = signatures.iter().map(String::as_str).chain([TOKEN, world.server.secret_key()]);
    for secret in secrets {
        assert!(
            !secret.is_empty() && !done.err.contains(secret) && !out.contains(secret),
            "{done}"
        );
    }
    for word in ["Signature=", "authorization", "x-amz-security-token"] {
        let said = done.err.to_lowercase();
        assert!(!said.contains(&word.to_lowercase()), "{word}: {done}");
    }
}

/// Every command against a store that fails in one way, which takes its retries: all at once.
async fn fails_in_silence(fault: Fault) {
    let world = World::new().await;
    world.put("k", "data");
    world.file("a", vec![1; 12 * MIB]);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let spy = Fault::hook(move |head| {
        let header = head.headers.get("authorization").unwrap().to_str().unwrap();
        let signature = header.split("Signature=").nth(1).unwrap();
        assert_eq!(head.headers.get("x-amz-security-token").unwrap(), TOKEN);
        keep.lock().unwrap().push(signature.to_owned());
    });
    world.server.faults().add(Rule::on(Op::Any).always().then(spy).then(fault));
    let few = ["--retries", "1"];
    let commands: [(&[&str], &[&str]); 17] = [
        (&["cp", "a", "s3://bucket/up"], &few),
        (&["cp", "a", "s3://bucket/up", "--progress", "json"], &few),
        (&["cp", "s3://bucket/k", "x"], &few),
        (&["cp", "s3://bucket/k", "s3://bucket/copy"], &few),
        (&["cat", "s3://bucket/k"], &few),
        (&["stat", "s3://bucket/k"], &[]),
        (&["rm", "s3://bucket/k"], &[]),
        (&["mb", "s3://new"], &[]),
        (&["cp", "-r", "a", "s3://bucket/up/", "--json"], &few),
        (&["mv", "s3://bucket/k", "s3://bucket/moved"], &few),
        (&["publish", "a", "s3://bucket/"], &few),
        (&["sync", "s3://bucket/", "down"], &few),
        (&["check", "s3://bucket/", "."], &few),
        (&["ls", "-r", "s3://bucket"], &[]),
        (&["rm", "-r", "s3://bucket/"], &[]),
        (&["uploads", "ls", "s3://bucket"], &[]),
        (&["doctor"], &[]),
    ];
    let runs = commands.map(|(args, more)| {
        let args = args.iter().chain(more).chain(&["-vv"]);
        world.haul(args).env("AWS_SESSION_TOKEN", TOKEN).run()
    });
    for done in join_all(runs).await {
        assert_ne!(done.code, 0, "{done}");
        assert_hidden(&done, &world, &seen.lock().unwrap());
    }
    assert!(!seen.lock().unwrap().is_empty());
}

/// U1.4: no secret is shown, whatever fails.
#[tokio::test]
async fn a_failing_store_does_not_make_them_show() {
    let faults = [
        Fault::status(500),
        Fault::status(403).code("SignatureDoesNotMatch"),
        Fault::status(400).code("ExpiredToken"),
        Fault::Reset,
        Fault::Redirect { status: 307, location: None, region: Some("eu-west-1".into()) },
    ];
    join_all(faults.map(fails_in_silence)).await;
}

#[tokio::test]
async fn success_does_not_show_them_either() {
    let world = World::new().await;
    world.put("k", vec![1; 12 * MIB]);
    let log = [("RUST_LOG", "trace"), ("RUST_BACKTRACE", "1")];
    let mut run = world.haul(["cp", "-vv", "s3://bucket/k", "x"]).env("AWS_SESSION_TOKEN", TOKEN);
    for (name, value) in log {
        run = run.env(name, value);
    }
    assert_hidden(run.run().await.ok(), &world, &[]);
}

/// AWS repeats a bad token in its answer; other stores and proxies repeat what they like.
#[tokio::test]
async fn a_store_that_repeats_the_token() {
    let world = World::new().await;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let body = format!(
        "<Error><Code>InvalidToken</Code><Message>The provided token is malformed</Message>\
         <Token-0>{TOKEN}</Token-0></Error>"
    );
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut head = [0; 8192];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    world.file("a", "data");
    for args in [["-vv", "cp", "a", "s3://bucket/x"], ["-vv", "mb", "s3://bucket", "--json"]] {
        let args = args.into_iter().chain(["--endpoint-url", &url]);
        let done = world.haul(args).env("AWS_SESSION_TOKEN", TOKEN).run().await;
        assert_ne!(done.code, 0, "{done}");
        assert_hidden(&done, &world, &[]);
    }
}

#[tokio::test]
async fn a_password_in_an_endpoint() {
    let world = World::new().await;
    world.file("a", "data");
    for url in ["http://me:passw0rd@127.0.0.1:1", "http://me:passw0rd@", "ftp://me:passw0rd@host/"]
    {
        let args = ["cp", "-vv", "--retries", "0", "a", "s3://bucket/x", "--endpoint-url", url];
        let done = world.haul(args).run().await;
        assert_ne!(done.code, 0, "{done}");
        assert!(!done.err.contains("passw0rd"), "{done}");
    }
}

/// Arguments show in process lists: no secret may have to be one.
#[tokio::test]
async fn no_flag_takes_a_secret() {
    let world = World::new().await;
    for verb in [
        &["cp"][..],
        &["mv"],
        &["sync"],
        &["check"],
        &["publish"],
        &["cat"],
        &["ls"],
        &["du"],
        &["stat"],
        &["rm"],
        &["mb"],
        &["rb"],
        &["presign"],
        &["uploads", "abort"],
        &["run"],
        &["config", "show"],
        &["doctor"],
        &["serve"],
        &["demo"],
    ] {
        let help = world.haul(verb.iter().chain(&["--help"])).run().await;
        let flags = help.quiet().out().split_whitespace().filter(|w| w.starts_with("--"));
        let secret = |flag: &&str| flag.contains("secret") || flag.contains("password");
        let found: Vec<_> = flags.filter(secret).filter(|f| *f != "--secret-key-file").collect();
        assert!(found.is_empty(), "{verb:?}: {found:?}");
    }
}
