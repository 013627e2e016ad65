//! Buckets of another region.

use haul_core::{Error, ErrorKind, Hint, Op as Doing, Result, Retry};
use haul_s3::{ListSpec, ObjectId, S3Client, bucket_exists, stat};
use haul_testkit::memory::RegionCheck;
use haul_testkit::{Fault, Op, Rule, StoreRules, TestServer};

use crate::kit::{list, options, start_with};

const FAR: &str = "far";

async fn server(regions: RegionCheck) -> (TestServer, S3Client) {
    let (server, client) = start_with(StoreRules { regions, ..StoreRules::default() }).await;
    server.store().create_bucket_in(FAR, "eu-north-1");
    server.store().put(FAR, "k", "hello");
    (server, client)
}

/// As the engine does: again, as long as the error says that it helps.
async fn tried<T, F: Future<Output = Result<T>>>(attempt: impl Fn() -> F) -> Result<(T, u32)> {
    let mut tries = 1;
    loop {
        match attempt().await {
            Ok(value) => return Ok((value, tries)),
            Err(e) if e.retry() == Retry::Never => return Err(e),
            Err(e) => assert!(tries < 5, "{e}"),
        }
        tries += 1;
    }
}

fn look(client: &S3Client) -> impl Fn() -> futures::future::BoxFuture<'static, Result<u64>> {
    let client = client.clone();
    move || {
        let client = client.clone();
        Box::pin(async move {
            stat(&client, &ObjectId::new(FAR, "k"), Doing::Stat).await.map(|info| info.size)
        })
    }
}

#[tokio::test]
async fn a_bucket_s_region_is_learned_once() {
    for check in [RegionCheck::Redirect, RegionCheck::Malformed, RegionCheck::SilentRedirect] {
        let (server, client) = server(check).await;
        let (entries, tries) = tried(|| list(&client, ListSpec::new(FAR, ""))).await.unwrap();
        assert_eq!((entries.len(), tries), (1, 2), "{check:?}");
        let asked = usize::from(check == RegionCheck::SilentRedirect);
        assert_eq!(server.calls().count(Op::HeadBucket), asked);
        // From now on everything goes there at once.
        let before = server.calls().count(Op::Any);
        assert_eq!(tried(look(&client)).await.unwrap(), (5, 1));
        assert_eq!(server.calls().count(Op::Any), before + 1);
        // And the other bucket is where it was.
        assert!(bucket_exists(&client, crate::kit::BUCKET).await.unwrap());
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_words_and_still_tells() {
    let (server, client) = server(RegionCheck::Redirect).await;
    assert_eq!(tried(look(&client)).await.unwrap(), (5, 2));
    assert_eq!(server.calls().count(Op::HeadBucket), 0);
}

#[tokio::test]
async fn requests_in_flight_at_the_time_go_again_too() {
    let (_server, client) = server(RegionCheck::Redirect).await;
    let all = (0..4).map(|_| tried(look(&client)));
    for result in futures::future::join_all(all).await {
        assert_eq!(result.unwrap().0, 5);
    }
}

fn redirect(region: Option<&str>, location: Option<String>) -> Fault {
    Fault::Redirect { status: 301, location, region: region.map(str::to_owned) }
}

/// Where the region cannot be learned the error says what to do.
#[tokio::test]
async fn a_redirect_in_place_is_an_error() {
    let (server, client) = server(RegionCheck::Off).await;
    for region in [Some("eu-west-1"), None] {
        server.faults().clear();
        let rule = server.faults().add(Rule::on(Op::Any).always().then(redirect(region, None)));
        let e: Error = tried(look(&client)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::WrongRegion, "{e}");
        let named = matches!(e.hint(), Some(Hint::FindRegion | Hint::NameRegion(_)));
        assert!(named, "{:?}", e.hint());
        assert!(rule.hits() <= 3, "{}", rule.hits());
    }
}

/// Another host is told nothing, whatever this one says.
#[tokio::test]
async fn a_location_is_never_followed() {
    let other = TestServer::start().await.unwrap();
    let (server, client) = server(RegionCheck::Off).await;
    let location = Some(format!("{}/far/k", other.endpoint_url()));
    let rule = Rule::on(Op::Any).always().then(redirect(Some("eu-west-1"), location));
    let rule = server.faults().add(rule);
    let e = tried(look(&client)).await.unwrap_err();
    assert_eq!((e.kind(), rule.hits()), (ErrorKind::WrongRegion, 1));
    let evil = redirect(Some("127.0.0.1/x"), None);
    server.faults().clear();
    server.faults().add(Rule::on(Op::Any).always().then(evil));
    assert_eq!(tried(look(&client)).await.unwrap_err().kind(), ErrorKind::WrongRegion);
    assert_eq!(other.calls().count(Op::Any), 0);
}

#[tokio::test]
async fn a_region_that_is_not_named_is_guessed_by_the_provider() {
    let (server, _) = server(RegionCheck::Off).await;
    let mut options = options(&server);
    options.region = None;
    for (provider, region) in
        [(haul_s3::Provider::R2, "auto"), (haul_s3::Provider::Garage, "garage")]
    {
        options.provider = Some(provider);
        let client = S3Client::connect(&options).await.unwrap();
        // Unless the machine that runs this names one.
        if std::env::var_os("AWS_REGION").is_none()
            && std::env::var_os("AWS_DEFAULT_REGION").is_none()
        {
            assert_eq!(client.region(), region);
        }
    }
}
