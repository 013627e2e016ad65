//! Owns Ceph's S3 gateway: one monitor, one manager, one OSD in memory, from Debian's packages.
//!
//! Must never: use a Ceph configuration of the machine, or leave its own data folder.

use super::endpoint::{free_port, random_hex};
use super::{Endpoint, Kind, Launch, Server};
use crate::process::{output_of, run_visibly};
use crate::tools::Tools;
use anyhow::{Result, bail};
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

const PACKAGES: [&str; 5] = ["ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "ceph-common"];
const PROGRAMS: [&str; 5] = ["ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "radosgw-admin"];
const IDENTITIES: [&str; 4] = ["client.admin", "mgr.x", "osd.0", "client.rgw.a"];
const GATEWAY: &str = "client.rgw.a";

/// Ceph RGW: <https://docs.ceph.com/en/latest/radosgw/>
#[derive(Debug)]
pub(crate) struct Ceph;

impl Server for Ceph {
    fn kind(&self) -> Kind {
        Kind::Ceph
    }

    fn missing(&self, tools: &Tools) -> Option<String> {
        let lacking = PROGRAMS.iter().find(|name| tools.find(name).is_none())?;
        Some(format!("no {lacking} program"))
    }

    fn install(&self, _tools: &Tools) -> Result<()> {
        if !nix::unistd::geteuid().is_root() {
            bail!("as root: apt-get install --no-install-recommends {}", PACKAGES.join(" "));
        }
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(PACKAGES);
        run_visibly(&mut apt)
    }

    fn version(&self, tools: &Tools) -> Result<String> {
        let text = output_of(tools.command("radosgw")?.arg("--version"))?;
        let version = text.split_whitespace().nth(2).unwrap_or("?");
        Ok(format!("Ceph RGW {version}"))
    }

    fn launch(&self, launch: &mut Launch<'_>) -> Result<Endpoint> {
        let cluster = Cluster::write(launch)?;
        cluster.make_keys(launch)?;
        cluster.start_monitor(launch)?;
        cluster.start_storage(launch)?;
        cluster.start_gateway(launch)?;
        let (access, secret) = (format!("HAUL{}", random_hex(16)?), random_hex(40)?);
        let mut user = cluster.gateway_command(launch, "radosgw-admin")?;
        user.args(["user", "create", "--uid", "haul", "--display-name", "haul"]);
        user.args(["--access-key", &access, "--secret-key", &secret]);
        output_of(&mut user)?;
        Ok(Endpoint::local(launch.port(), access, secret))
    }
}

struct Cluster {
    id: String,
    configuration: PathBuf,
    keyring: PathBuf,
    /// The monitor's.
    port: u16,
    monitor: String,
}

impl Cluster {
    fn write(launch: &Launch<'_>) -> Result<Self> {
        let data = launch.data();
        for folder in ["mon", "osd", "mgr", "run"] {
            fs::create_dir(data.join(folder))?;
        }
        let port = free_port()?;
        let cluster = Self {
            id: fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned(),
            configuration: data.join("ceph.conf"),
            keyring: data.join("keyring"),
            port,
            monitor: format!("v2:127.0.0.1:{port}/0"),
        };
        let text = include_str!("ceph.conf")
            .replace("@ID@", &cluster.id)
            .replace("@MONITOR@", &cluster.monitor)
            .replace("@DATA@", &data.to_string_lossy())
            .replace("@PORT@", &launch.port().to_string());
        fs::write(&cluster.configuration, text)?;
        Ok(cluster)
    }

    /// A program of Ceph, told of this cluster.
    fn command(&self, launch: &Launch<'_>, program: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = launch.command(program)?;
        command.arg("-c").arg(&self.configuration).args(arguments);
        Ok(command)
    }

    fn gateway_command(&self, launch: &Launch<'_>, program: &str) -> Result<Command> {
        let mut command = self.command(launch, program, &["-n", GATEWAY])?;
        command.arg("--keyring").arg(&self.keyring);
        Ok(command)
    }

    fn make_keys(&self, launch: &Launch<'_>) -> Result<()> {
        let tool = || launch.command("ceph-authtool");
        let monitor = ["--gen-key", "-n", "mon.", "--cap", "mon", "allow *"];
        output_of(tool()?.arg("--create-keyring").arg(&self.keyring).args(monitor))?;
        for identity in IDENTITIES {
            let mut add = tool()?;
            add.arg(&self.keyring).args(["--gen-key", "-n", identity]);
            for service in ["mon", "osd", "mgr"] {
                add.args(["--cap", service, "allow *"]);
            }
            output_of(&mut add)?;
        }
        Ok(())
    }

    fn start_monitor(&self, launch: &mut Launch<'_>) -> Result<()> {
        let map = launch.data().join("monmap");
        let mut make_map = launch.command("monmaptool")?;
        make_map.args(["--create", "--clobber", "--fsid", &self.id, "--addv", "a"]);
        output_of(make_map.arg(format!("[{}]", self.monitor)).arg(&map))?;
        let mut format = self.command(launch, "ceph-mon", &["--mkfs", "-i", "a"])?;
        output_of(format.arg("--monmap").arg(&map).arg("--keyring").arg(&self.keyring))?;
        let mut monitor = self.command(launch, "ceph-mon", &["-i", "a", "-f"])?;
        launch.daemon("mon", &mut monitor)?;
        // Its clients wait for minutes for a monitor that is gone: it ends without a word where less
        // than a twentieth of the disk is free.
        launch.wait_until("the monitor", || TcpStream::connect(("127.0.0.1", self.port)).is_ok())
    }

    fn start_storage(&self, launch: &mut Launch<'_>) -> Result<()> {
        let mut manager = self.command(launch, "ceph-mgr", &["-i", "x", "-f"])?;
        launch.daemon("mgr", &mut manager)?;
        let osd = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        output_of(&mut self.command(launch, "ceph", &["osd", "new", &osd])?)?;
        let format = ["-i", "0", "--mkfs", "--osd-uuid", &osd];
        output_of(&mut self.command(launch, "ceph-osd", &format)?)?;
        let mut storage = self.command(launch, "ceph-osd", &["-i", "0", "-f"])?;
        launch.daemon("osd", &mut storage)
    }

    fn start_gateway(&self, launch: &mut Launch<'_>) -> Result<()> {
        let mut gateway = self.gateway_command(launch, "radosgw")?;
        launch.daemon("rgw", gateway.arg("-f"))?;
        launch.wait_for_http()
    }
}
