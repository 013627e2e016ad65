//! Stores that are not there, do not know us, or have nothing for us.

use std::net::TcpListener;

use haul_testkit::{Fault, Op, Rule};

use crate::harness::World;

#[tokio::test]
async fn what_is_missing_is_not_found() {
    let world = World::new().await;
    world.file("a", "data");
    world.file("old", "old");
    let none = "*no such object or bucket*";
    world.refuses(["cp", "s3://bucket/none", "x"], 4, &format!("cannot open {none}")).await;
    world.refuses(["cp", "s3://bucket/none", "old"], 4, &format!("cannot open {none}")).await;
    world.refuses(["cp", "s3://bucket/none", "new/folder/"], 4, none).await;
    world.refuses(["cp", "s3://bucket/none", "s3://bucket/x"], 4, none).await;
    world.refuses(["cp", "s3://nobucket/k", "x"], 4, none).await;
    world.refuses(["cat", "s3://bucket/none"], 4, &format!("cannot open {none}")).await;
    world.refuses(["stat", "s3://bucket/none"], 4, &format!("cannot look at {none}")).await;
    world.refuses(["rm", "s3://bucket/none"], 4, &format!("cannot remove {none}")).await;
    let line = "cannot * s3://nobucket/a: no such bucket (haul mb s3://BUCKET creates one)";
    world.refuses(["cp", "a", "s3://nobucket/"], 4, line).await;
    world.file("large", vec![0; 20 << 20]);
    let line = "cannot * s3://nobucket/large: no such bucket (haul mb s3://BUCKET creates one)";
    world.refuses(["cp", "large", "s3://nobucket/"], 4, line).await;
    world.put("k", "data");
    world.refuses(["cat", "s3://bucket/k", "--version-id", "none"], 4, "*").await;
}

/// The line has to name the bucket that is missing, not the one that is there.
#[tokio::test]
async fn a_copy_into_a_missing_bucket_names_it() {
    let world = World::new().await;
    world.put("k", "data");
    let line = "cannot *s3://nobucket*: no such bucket*";
    world.refuses(["cp", "s3://bucket/k", "s3://nobucket/k"], 4, line).await;
}

#[tokio::test]
async fn a_missing_local_source_is_not_found() {
    let world = World::new().await;
    let line = "cannot open *none: no such file or folder";
    world.refuses(["cp", "none", "s3://bucket/x"], 4, line).await;
    world.refuses(["cp", "none", "x"], 4, line).await;
    world.refuses(["stat", "none"], 4, "cannot look at none: no such file or folder").await;
    assert_eq!(world.server.calls().list().len(), 0, "no request was needed to know");
}

#[tokio::test]
async fn no_credentials() {
    let world = World::new().await;
    let tree = world.tree();
    for args in
        [&["cp", "s3://bucket/k", "x"][..], &["cat", "s3://bucket/k"], &["stat", "s3://b/k"]]
    {
        let run = world.haul(args).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
        run.run().await.failed(
            5,
            "cannot * s3://*/k: no credentials were found (set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or --profile; for public objects --no-sign-request)",
        );
    }
    assert!(world.tree() == tree);
}

/// G.5: a profile that is nowhere is an error, and not the environment.
#[tokio::test]
async fn a_profile_that_is_not_there() {
    let world = World::new().await;
    world.put("k", "data");
    world.file("aws", "[default]\nregion = x\n[profile work]\nregion = y\n");
    let said = "cannot connect to the store: there is no profile called typo (the AWS configuration \
                files have default, work)";
    for args in [
        &["cat", "s3://bucket/k", "--profile", "typo"][..],
        &["ls", "s3://bucket", "--profile", "typo", "--no-sign-request"],
        &["cp", "s3://bucket/k", "s3://bucket/c", "--dest-profile", "typo"],
        &["sync", "s3://bucket/", "s3://bucket/c/", "--source-profile", "typo"],
    ] {
        let run = world.haul(args).env("AWS_CONFIG_FILE", world.path("aws"));
        run.run().await.failed(2, said);
    }
    let run = world.haul(["cat", "s3://bucket/k"]).env("HAUL_PROFILE", "typo");
    let none = "*there is no profile called typo (the AWS configuration files have none)";
    run.run().await.failed(2, none);
}

#[tokio::test]
async fn bad_credentials_are_denied_access() {
    let world = World::new().await;
    world.file("a", "data");
    world.file("old", "old");
    world.put("k", "data");
    let tree = world.tree();
    for (name, value) in [("AWS_ACCESS_KEY_ID", "AKIAWRONG"), ("AWS_SECRET_ACCESS_KEY", "wrong")] {
        for args in [["cp", "s3://bucket/k", "old"], ["cp", "a", "s3://bucket/a"]] {
            let done = world.haul(args).env(name, value).run().await;
            done.failed(5, "cannot * s3://bucket/*: * (check the *)");
        }
    }
    assert!(world.tree() == tree);
    assert_eq!(world.server.store().keys("bucket"), ["k"]);
    let get = world.server.faults().add(Rule::on(Op::GetObject).always().then(Fault::status(403)));
    world.refuses(["cp", "s3://bucket/k", "old"], 5, "cannot read s3://bucket/k: *(check*)").await;
    assert_eq!(get.hits(), 1, "a refusal is not tried again");
}

#[tokio::test]
async fn the_wrong_region_names_the_right_one() {
    let world = World::new().await;
    world.file("a", "data");
    world.put("k", "data");
    let redirect = |region: Option<&str>| {
        let region = region.map(str::to_owned);
        let fault = Fault::Redirect { status: 301, location: None, region };
        world.server.faults().clear();
        world.server.faults().add(Rule::on(Op::Any).always().then(fault));
    };
    // A store that sends us where it sent us before: followed once, and then it is said.
    redirect(Some("eu-west-1"));
    let line = "cannot * s3://bucket/*: the bucket is in another region (*--region*)";
    world.refuses(["cp", "s3://bucket/k", "x"], 2, line).await;
    world.refuses(["cp", "a", "s3://bucket/a"], 2, line).await;
    world.refuses(["cat", "s3://bucket/k"], 2, line).await;
    redirect(None);
    let line = "cannot *: the bucket is in another region (*--region*)";
    world.refuses(["cp", "s3://bucket/k", "x"], 2, line).await;
}

/// No secret travels to another host, whatever a store says.
#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    elsewhere.put("k", "trap");
    world.put("k", "data");
    let location = Some(format!("{}/bucket/k", elsewhere.server.endpoint_url()));
    let fault = Fault::Redirect { status: 307, location, region: None };
    world.server.faults().add(Rule::on(Op::Any).always().then(fault));
    world.refuses(["cat", "s3://bucket/k"], 2, "cannot *").await;
    assert_eq!(elsewhere.server.calls().list().len(), 0);
}

#[tokio::test]
async fn a_refused_connection() {
    let world = World::new().await;
    world.file("a", "data");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", socket.local_addr().unwrap());
    drop(socket);
    for args in [["cp", "a", "s3://bucket/x"], ["cp", "s3://bucket/x", "y"]] {
        let args = args.into_iter().chain(["--retries", "1", "-q", "--endpoint-url", &nobody]);
        world.haul(args).run().await.failed(
            1,
            "cannot * s3://bucket/x: *onnection refused (gave up after 2 tries) \
             (is the endpoint http://* right, and does it run?)",
        );
    }
    let args = ["cat", "s3://bucket/x", "--retries", "0", "--endpoint-url", &nobody];
    world.haul(args).run().await.failed(1, "cannot open s3://bucket/x: *onnection refused (is*");
    world.assert_clean();
}

/// S3.30: tries that are used up are said in the error.
#[tokio::test]
async fn a_store_that_always_fails_is_given_up_on() {
    let world = World::new().await;
    world.file("old", "old");
    world.put("k", vec![1; 20 << 20]);
    world.server.faults().add(Rule::on(Op::GetObject).always().then(Fault::status(503)));
    let args = ["cp", "-q", "--retries", "1", "s3://bucket/k", "old"];
    world.refuses(args, 1, "cannot read s3://bucket/k: SlowDown*(gave up after 2 tries)").await;
    let args = ["cat", "-q", "--retries", "1", "s3://bucket/k"];
    world.refuses(args, 1, "cannot read s3://bucket/k: SlowDown*(gave up after 2 tries)").await;
}

#[tokio::test]
async fn damaged_bytes_fail_verification() {
    let world = World::new().await;
    world.file("old", "old");
    for size in [1 << 20, 20 << 20] {
        world.put("k", vec![1; size]);
        world.server.faults().clear();
        world.server.faults().add(Rule::on(Op::GetObject).always().then(Fault::FlipBit(5)));
        let args = ["cp", "-q", "--retries", "0", "s3://bucket/k", "old"];
        world.refuses(args, 3, "cannot verify s3://bucket/k: the CRC64NVME*").await;
    }
    let done = world.haul(["cat", "s3://bucket/k"]).run().await;
    done.failed(3, "cannot verify s3://bucket/k: the CRC64NVME*");
}
