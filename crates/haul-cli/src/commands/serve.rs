//! `haul serve`: an S3 endpoint on a folder.

use anyhow::Context as _;
use haul_serve::{Credentials, Server};

use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::{output, settings, signals};

pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<Exit> {
    let credentials = match (&args.access_key, &args.secret_key_file) {
        (Some(key), Some(file)) => Credentials::new(key, settings::secret(file)?),
        _ => Credentials::generate().context("cannot make up credentials")?,
    };
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("cannot create {}", args.dir.display()))?;
    if !args.listen.ip().is_loopback() {
        output::note("haul: this is a development server, and it is open to the network");
    }
    let server = haul_serve::serve_folder(&args.dir, args.listen, &credentials)
        .await
        .with_context(|| format!("cannot serve {} on {}", args.dir.display(), args.listen))?;
    let stop = signals::stop_signal();
    output::result(&environment(&server, &credentials))?;
    output::note(&format!("haul: serving {}; Ctrl-C ends it", args.dir.display()));
    stop.await;
    server.stop().await;
    Ok(Exit::Done)
}

/// What to put into the environment: `eval "$(haul serve DIR)"` would wait for ever, so it is meant
/// for copying, or for a program that reads the first lines.
fn environment(server: &Server, credentials: &Credentials) -> String {
    format!(
        "export AWS_ENDPOINT_URL={}\nexport AWS_ACCESS_KEY_ID={}\nexport AWS_SECRET_ACCESS_KEY={}\nexport AWS_REGION=us-east-1",
        server.endpoint_url(),
        credentials.access_key,
        credentials.secret_key
    )
}
