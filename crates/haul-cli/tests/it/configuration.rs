//! Where settings come from: flags, environment, file, defaults.

use haul_testkit::{Fault, Op, Rule};

use crate::harness::{BUCKET, MIB, World, within};

/// Value and origin of a setting.
async fn setting(
    world: &World,
    args: &[&str],
    env: &[(&str, &str)],
    name: &str,
) -> (String, String) {
    let args = ["config", "show", "--json", "--config", "haul.toml"].iter().chain(args);
    let run = env.iter().fold(world.haul(args), |run, (name, value)| run.env(name, value));
    let done = run.run().await;
    let all = done.ok().json();
    let found = all.iter().find(|l| l["name"] == name).unwrap_or_else(|| panic!("{name}: {done}"));
    let text = |field: &str| found[field].as_str().unwrap_or("-").to_owned();
    (text("value"), text("origin"))
}

const FILE: &str = "\
[s3]
region = \"top\"
multipart_chunk_size_mb = 6

[transfer]
retries = 3

[profiles.r2]
endpoint = \"https://r2.example.org\"
region = \"auto\"
";

#[tokio::test]
async fn flags_then_environment_then_profile_then_file_then_default() {
    let world = World::new().await;
    world.file("haul.toml", FILE);
    let of = async |args: &[&str], env: &[(&str, &str)], name: &str| {
        let (value, origin) = setting(&world, args, env, name).await;
        format!("{value} from {origin}")
    };
    let retries = "transfer.retries";
    assert_eq!(of(&[], &[], retries).await, "3 from haul.toml line 6 [transfer]");
    let env = [("HAUL_RETRIES", "4")];
    assert_eq!(of(&[], &env, retries).await, "4 from environment HAUL_RETRIES");
    assert_eq!(of(&["--retries", "5"], &env, retries).await, "5 from --retries");
    assert_eq!(
        of(&[], &[("HAUL_RETRIES", "")], retries).await,
        "3 from haul.toml line 6 [transfer]"
    );
    assert_eq!(of(&[], &[], "transfer.memory").await, "32MiB from default");
    // S1.15: MiB.
    let unsigned = [("HAUL_NO_SIGN_REQUEST", "1")];
    let switch = of(&[], &unsigned, "s3.no_sign_request").await;
    assert_eq!(switch, "1 from environment HAUL_NO_SIGN_REQUEST");
    let part = of(&[], &[], "s3.multipart_chunk_size_mb").await;
    assert_eq!(part, "6MiB from haul.toml line 3 [s3]");
    // The variables of the AWS tools are environment, too; a profile asked for by name is more.
    let region = "s3.region";
    let aws = of(&[], &[], region).await;
    assert_eq!(aws, format!("{} from environment AWS_REGION", world.server.region()));
    let r2 = "auto from haul.toml line 10 [profiles.r2]";
    assert_eq!(of(&["--profile", "r2"], &[], region).await, r2);
    assert_eq!(of(&[], &[("HAUL_PROFILE", "r2")], region).await, r2);
    let env = [("HAUL_REGION", "env")];
    assert_eq!(of(&["--profile", "r2"], &env, region).await, "env from environment HAUL_REGION");
    let endpoint = of(&["--profile", "r2"], &[], "s3.endpoint").await;
    assert_eq!(endpoint, "https://r2.example.org from haul.toml line 9 [profiles.r2]");
}

/// The file acts: parts are of its size, and the profile's store is used (S1.9).
#[tokio::test]
async fn the_file_changes_what_is_done() {
    let world = World::new().await;
    let url = world.server.endpoint_url();
    let file =
        format!("[s3]\nmultipart_chunk_size_mb = 5\n[profiles.here]\nendpoint = \"{url}\"\n");
    world.file("conf/haul/haul.toml", file);
    world.file("big", vec![1; 12 * MIB]);
    let haul = |args: &[&str]| world.haul(args.to_vec()).env("XDG_CONFIG_HOME", world.path("conf"));
    haul(&["cp", "big", "s3://bucket/a"]).run().await.ok();
    let parts = world.server.calls().count(Op::UploadPart);
    assert_eq!(parts, 3, "S1.15, X1.7: parts of 5 MiB");
    let nowhere = |args: &[&str]| haul(args).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    nowhere(&["cp", "--profile", "here", "big", "s3://bucket/b"]).run().await.ok();
    nowhere(&["cp", "--dest-profile", "here", "big", "s3://bucket/c"]).run().await.ok();
    assert_eq!(world.server.store().keys(BUCKET), ["a", "b", "c"]);
}

/// S1.16: `multipart_concurrency` of the file is how many parts are in flight, and `--limit-rate` and
/// `--chunk-size` do what they say.
#[tokio::test]
async fn the_file_says_how_many_parts_are_in_flight() {
    let world = World::new().await;
    world.file("haul.toml", "[s3]\nmultipart_concurrency = 2\n");
    world.file("big", vec![1; 30 * MIB]);
    let rule = Rule::on(Op::UploadPart).always().then(Fault::Stall);
    let held = world.server.faults().add(rule);
    let args = ["cp", "--chunk-size", "5MiB", "big", "s3://bucket/k"];
    let run = world.haul(args).env("HAUL_CONFIG", world.path("haul.toml")).spawn();
    within("two parts", world.server.calls().wait_in_flight(Op::UploadPart, 2)).await;
    held.release();
    run.end().await.ok();
    assert_eq!(world.server.calls().peak_in_flight(), 2);
    assert_eq!(world.server.calls().count(Op::UploadPart), 6);
    let started = std::time::Instant::now();
    let args = ["cp", "--limit-rate", "10MB", "s3://bucket/k", "x"];
    world.haul(args).run().await.ok();
    // 31 MB, of which the first second or so may come at once.
    assert!(started.elapsed().as_secs_f64() > 1.0, "{:?}", started.elapsed());
}

/// S3.8, U3.3, G.4: a profile of the AWS files that is named comes before the environment: its keys,
/// its region and its endpoint, for either side.
#[tokio::test]
async fn a_named_profile_comes_before_the_environment() {
    let (old, new) = (World::new().await, World::new().await);
    old.put("k", "data");
    let profile = |name: &str, world: &World, endpoint: &str| {
        let server = &world.server;
        let (id, secret, region) = (server.access_key(), server.secret_key(), server.region());
        format!(
            "[profile {name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n\
             region = {region}\n{endpoint}\n"
        )
    };
    let url = |world: &World| format!("endpoint_url = {}", world.server.endpoint_url());
    let files = [
        profile("old", &old, &url(&old)),
        profile("new", &new, "services = new"),
        format!("[services new]\ns3 =\n  {}\n", url(&new)),
    ];
    let file = old.file("aws", files.concat());
    let haul = |args: &[&str]| {
        let run = old.haul(args.to_vec()).env("AWS_CONFIG_FILE", &file);
        let run = run.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").env("AWS_REGION", "elsewhere");
        run.env("AWS_ACCESS_KEY_ID", "another").env("AWS_SECRET_ACCESS_KEY", "another")
    };
    let both = ["--source-profile", "old", "--dest-profile", "new"];
    let sync = [&["sync", "s3://bucket", "s3://bucket"][..], &both].concat();
    haul(&sync).run().await.ok();
    assert_eq!(new.stored("k"), b"data");
    assert_eq!(haul(&["cat", "--profile", "new", "s3://bucket/k"]).run().await.ok().out(), "data");
    let named = haul(&["cat", "s3://bucket/k"]).env("HAUL_PROFILE", "new").run().await;
    assert_eq!(named.ok().out(), "data");
    // One that is only usual does not: the environment's store does not answer.
    let usual = old.file("haul.toml", "[s3]\nprofile = 'new'\n[transfer]\nretries = 0\n");
    let done = haul(&["cat", "s3://bucket/k"]).env("HAUL_CONFIG", usual).run().await;
    assert_ne!(done.code, 0, "{done}");
}

#[tokio::test]
async fn path_and_missing_files() {
    let world = World::new().await;
    let done = world.haul(["config", "path"]).env("XDG_CONFIG_HOME", "/etc/xdg").run().await;
    assert_eq!(done.quiet().out(), "/etc/xdg/haul/haul.toml\n");
    let done = world.haul(["config", "path"]).env("HAUL_CONFIG", "x.toml").run().await;
    assert_eq!(done.quiet().out(), "x.toml\n");
    let args = ["stat", "--config", "none.toml", "s3://bucket/k"];
    world.refuses(args, 2, "cannot open none.toml: *no such file or folder").await;
}

#[tokio::test]
async fn mistakes_are_one_line_with_the_way_out() {
    let world = World::new().await;
    for (text, line) in [
        (
            "[s3]\nendpont = 'x'",
            "*haul.toml line 2: no setting of [s3] is called \"endpont\" (did you mean \"endpoint\"?)",
        ),
        (
            "[s3]\nsecret_key = 'hunter2'",
            "*line 2: secret_key does not belong here: secrets go into ~/.aws/credentials*",
        ),
        (
            "[s3]\nmultipart_chunk_size_mb = 4",
            "*line 2: multipart_chunk_size_mb: 4 MiB is not a part size: S3 takes 5 to 5120",
        ),
        (
            "[transfer]\nconcurrency = 99",
            "*line 2: concurrency: write a number from 1 to 16, or auto",
        ),
        ("[s3\n", "*haul.toml line 1: *"),
    ] {
        world.file("haul.toml", text);
        let args = ["stat", "--config", "haul.toml", "s3://bucket/k"];
        let done = world.haul(args).run().await;
        done.failed(2, line);
        assert!(!done.err.contains("hunter2"), "{done}");
        // What needs no settings works.
        world.haul(["completions", "bash", "--config", "haul.toml"]).run().await.quiet();
    }
}

#[tokio::test]
async fn a_bad_variable_is_named() {
    let world = World::new().await;
    let done = world.haul(["cp", "a", "b"]).env("HAUL_CONCURRENCY", "99").run().await;
    done.failed(
        2,
        "invalid value '99' for '--concurrency*1 to 16*(from the environment: HAUL_CONCURRENCY)*",
    );
    let typed = world.haul(["cp", "--concurrency", "99", "a", "b"]).run().await;
    assert!(!typed.ended(2).err.contains("environment"), "{typed}");
}
