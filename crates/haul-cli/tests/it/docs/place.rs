//! Where the examples of the pages run.
//!
//! Owns: the stores, the web server, the files and the programs that examples find. A name that a
//! page uses has to be here. Must never lead out of this machine.

use std::path::Path;
use std::time::{Duration, SystemTime};

use haul_testkit::http::HttpServer;
use haul_testkit::{Fault, Op, Rule, TestServer, sizes};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Done, MIB, Run, World, within};

/// What the examples find: stores, a server, files, programs.
pub(super) struct Place {
    pub(super) world: World,
    home: TempDir,
    old: TestServer,
    files: HttpServer,
}

const PHOTOS: [(&str, &str); 5] = [
    ("photos/2025/beach.jpg", "sand and water"),
    ("photos/2026/lake.jpg", "water"),
    ("photos/2026/raw/lake.dng", "water, but raw"),
    ("photos/.sorted", ""),
    ("photos/notes.txt", "two lakes, one beach\n"),
];

const MORE: [(&str, &str); 9] = [
    ("talks/deep-dive.mp4", "an hour"),
    ("talks/intro.mp4", "ten minutes"),
    ("talks/slides.pdf", "forty pages"),
    ("site/index.html", "<h1>hello</h1>"),
    ("site/css/style.css", "h1 {}"),
    ("report.pdf", "page one"),
    ("src/main.c", "int main() {}"),
    ("secret", "only for development\n"),
    ("2026-01-31.log", "ERROR: no coffee\n"),
];

const OBJECTS: [(&str, &str, &str); 7] = [
    ("logs", "2026/01/app.log.gz", "january"),
    ("logs", "2026/01/web.log.gz", "january, too"),
    ("logs", "2026/02/app.log.gz", "february"),
    ("logs", "readme.txt", "what is here\n"),
    ("media", "film.mkv", "a film"),
    ("docs", "report.pdf", "page one"),
    ("docs", "2025/report.pdf", "last year's"),
];

impl Place {
    pub(super) async fn new() -> Self {
        let place = Self {
            world: World::new().await,
            home: tempfile::tempdir().unwrap(),
            old: TestServer::start().await.unwrap(),
            files: HttpServer::start().unwrap(),
        };
        let (world, store) = (&place.world, place.world.server.store());
        for bucket in ["backup", "archive", "mirror", "scratch", "logs", "media", "docs"] {
            store.create_bucket(bucket);
            place.old.store().create_bucket(bucket);
        }
        store.set_versioning("docs", true);
        for (bucket, key, content) in OBJECTS {
            store.put(bucket, key, content);
            place.old.store().put(bucket, key, content);
        }
        store.put("docs", "report.pdf", "page one, corrected");
        for (name, content) in PHOTOS.into_iter().chain(MORE) {
            place.age(&world.file(name, content));
        }
        for name in ["big.iso", "film.mkv"] {
            place.age(&world.file(name, sizes::pattern(9 * MIB, 3)));
        }
        place.files.put("/data/a.bin", sizes::pattern(3 * MIB, 7));
        place.files.put("/data/b%20c.txt", "with a blank in its name\n");
        place.programs();
        place.settings();
        place
    }

    /// All files are of one day, so that examples may speak of ages.
    fn age(&self, path: &Path) {
        let day = humantime::parse_rfc3339("2026-01-15T12:00:00Z").unwrap();
        std::fs::File::options().append(true).open(path).unwrap().set_modified(day).unwrap();
        assert!(
            day + Duration::from_hours(24) < SystemTime::now(),
            "{}",
            self.world.path(".").display()
        );
    }

    /// `haul`, and programs that examples put before or behind it.
    fn programs(&self) {
        let bin = self.home.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_haul"), bin.join("haul")).unwrap();
        for (name, script) in [
            ("pg_dump", "echo 'create table t ();'"),
            ("mpv", "cat > /dev/null"),
            ("xclip", "cat > /dev/null"),
        ] {
            let path = bin.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(path, mode).unwrap();
        }
    }

    /// The profiles that the pages speak of.
    fn settings(&self) {
        let (new, old) = (self.world.server.endpoint_url(), self.old.endpoint_url());
        let text = format!(
            "[profiles.new]\nendpoint = \"{new}\"\n\n[profiles.old]\nendpoint = \"{old}\"\n"
        );
        let folder = self.home.path().join(".config/haul");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("haul.toml"), text).unwrap();
    }

    /// Addresses as the pages write them, and as they are.
    fn addresses(&self) -> [(&'static str, String); 3] {
        [
            ("https://s3.example.org", self.world.server.endpoint_url()),
            ("https://old.example.org", self.old.endpoint_url()),
            ("https://files.example.org", self.files.url("")),
        ]
    }

    /// Leaves an upload behind, as a machine does that loses its power.
    pub(super) async fn leave_an_upload(&self) {
        let rule = Rule::on(Op::UploadPart).key("db.sql").always().then(Fault::Stall);
        let held = self.world.server.faults().add(rule);
        let run = self.world.haul(["cp", "big.iso", "s3://backup/db.sql"]).spawn();
        within("an upload", async {
            while self.world.server.store().uploads("backup").is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        run.signal(Signal::KILL);
        run.end().await;
        held.release();
    }

    /// What `zcat` can read, where there is a `gzip`.
    pub(super) async fn pack_a_log(&self) {
        self.bash("gzip < 2026-01-31.log | haul cp -q - s3://logs/2026.gz").run().await;
    }

    /// A run of bash, with the addresses that the pages speak of.
    pub(super) fn bash(&self, script: &str) -> Run {
        let real = |s: String, (written, real): &(&str, String)| s.replace(written, real);
        let script = self.addresses().iter().fold(script.to_owned(), real);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = [self.home.path().join("bin")].into_iter().chain(std::env::split_paths(&path));
        let run = self.world.program("bash", ["-c", &script]);
        let run = run.env("PATH", std::env::join_paths(paths).unwrap());
        let run = run.env("HOME", self.home.path());
        // One of the tasks of an array, as the schedulers number them.
        run.env("JOB_COMPLETION_INDEX", "0").env("SLURM_ARRAY_TASK_ID", "0")
    }

    /// What a run said, with the addresses of the pages.
    pub(super) fn said(&self, done: &Done) -> String {
        let out = String::from_utf8_lossy(&done.bytes).into_owned();
        let home = self.home.path().display().to_string();
        let written = |s: String, (written, real): &(&str, String)| s.replace(real, written);
        self.addresses().iter().fold(out, written).replace(&home, "~")
    }
}
