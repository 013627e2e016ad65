//! The reference model: random commands beside what the documents say of them.
//!
//! Owns the test: seeds, steps, shrinking. A step is a few bytes that choose, in the state there is,
//! an edit by somebody else or a command of haul with its flags; [`forecast`] says what has to come of
//! it, [`world`] what is there, [`judge`] whether that is the same. More of it than a test has time for:
//! `cargo xtask soak`.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]
#![expect(clippy::print_stdout, reason = "a test that fails prints its steps")]

mod forecast;
mod genes;
mod judge;
mod mirrors;
mod run;
mod state;
mod steps;
mod trees;
mod trouble;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::forecast::Forecast;
use crate::genes::{Genes, Reader};
use crate::steps::{Command, Step, Verb};
use crate::trouble::Trouble;
use crate::world::World;

/// Steps in a test, when nobody says otherwise.
const STEPS: u64 = 2000;
const SEEDS: u64 = 4;
/// Most steps of one history: a failure is shrunk from there.
const HISTORY: usize = 60;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn forecast(state: &state::State, command: &Command) -> Forecast {
    match command.verb {
        Verb::Copy | Verb::Move | Verb::Publish => trees::transfer(state, command),
        Verb::Remove => trees::remove(state, command),
        Verb::Sync => mirrors::sync(state, command),
        Verb::Check => mirrors::check(state, command),
    }
}

/// What was done, and how often.
#[derive(Default)]
struct Count {
    steps: Cell<u64>,
    /// Commands by verb, and trouble that came about.
    of: std::cell::RefCell<BTreeMap<String, u64>>,
}

impl Count {
    fn add(&self, what: String) {
        *self.of.borrow_mut().entry(what).or_default() += 1;
    }
}

/// One step; the words say what it was.
async fn step(
    world: &mut World,
    genes: &[u8],
    count: &Count,
    told: &mut String,
) -> Result<(), String> {
    let before = world.look();
    let step = Step::choose(&mut Reader::new(genes), &before);
    let _ = writeln!(told, "{step:?}");
    let Step::Run(command) = &step else {
        world.edit(&step, &before);
        return Ok(());
    };
    let forecast = forecast(&before, command);
    count.add(format!("{:?}", command.verb));
    let explain = |said: &run::Said| {
        format!("\n  it said: {said:?}\n  before: {before:#?}\n  items: {:?}", forecast.items)
    };
    if let Some(trouble) = &command.trouble {
        let (said, verdict) =
            in_trouble(world, (command, trouble), (&forecast, count), &before).await;
        return verdict.map_err(|e| format!("{e}{}", explain(&said)));
    }
    let rehearsed = if command.rehearse {
        let said = run::run(world, command, true).await;
        Some((said, world.look()))
    } else {
        None
    };
    let said = run::run(world, command, false).await;
    let after = world.look();
    let verdict = || {
        left_behind(world, &after)?;
        judge::judge(command, &forecast, (&before, &after), &said)?;
        let Some((foretold, between)) = &rehearsed else { return Ok(()) };
        judge::rehearsed(&forecast, (&before, between), (foretold, &said))
    };
    verdict().map_err(|e| format!("{e}{}", explain(&said)))
}

fn left_behind(world: &World, after: &state::State) -> judge::Verdict {
    let left = world.leftovers(after);
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) }
}

/// A command, and something that goes wrong meanwhile.
async fn in_trouble(
    world: &mut World,
    (command, trouble): (&Command, &Trouble),
    (forecast, count): (&Forecast, &Count),
    before: &state::State,
) -> (run::Said, judge::Verdict) {
    let edited = trouble.edits(command, forecast, before).map(|at| {
        let content = world.content(steps::Content::Fresh, before);
        (at, content)
    });
    let rules = trouble.begin(world, edited.as_ref().map(|(at, content)| (at, &**content)));
    let said = run::run(world, command, false).await;
    let happened = rules.iter().any(|r| r.hits() > 0);
    world.calm();
    if happened {
        count.add(format!("trouble: {}", trouble.name()));
    }
    let after = world.look();
    let edit = edited.as_ref().filter(|_| happened).map(|(at, content)| (at, content));
    let verdict = || {
        left_behind(world, &after)?;
        if happened && !forecast.tangled {
            return trouble::judge(command, forecast, (before, &after), &said, edit);
        }
        if edit.is_some() {
            // One thing under two names, and another content under one of them: nothing is forecast.
            return Ok(());
        }
        judge::judge(command, forecast, (before, &after), &said)
    };
    let verdict = verdict();
    (said, verdict)
}

async fn history(world: &mut World, all: &[Genes], count: &Count) -> Result<(), TestCaseError> {
    world.clear();
    let mut told = String::new();
    for genes in all {
        count.steps.set(count.steps.get() + 1);
        if let Err(e) = step(world, genes, count, &mut told).await {
            return Err(TestCaseError::fail(format!("{e}\n\nsteps:\n{told}")));
        }
    }
    Ok(())
}

/// Runs histories from one seed.
fn from_seed(seed: u64, steps: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let page = [2, 5, 1000][seed as usize % 3];
    let world = std::cell::RefCell::new(runtime.block_on(World::new(page)));
    let config =
        Config { cases: 1, max_shrink_iters: 2000, failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let count = Count::default();
    let histories =
        prop::collection::vec(prop::collection::vec(any::<u8>(), genes::LENGTH), 1..=HISTORY);
    let mut outcome = Ok(());
    while outcome.is_ok() && count.steps.get() < steps {
        let mut runner = TestRunner::new_with_rng(config.clone(), rng);
        let run =
            |all: Vec<Genes>| runtime.block_on(history(&mut world.borrow_mut(), &all, &count));
        outcome = runner.run(&histories, run);
        rng = runner.new_rng();
    }
    println!("seed {seed}: {} steps, {:?}", count.steps.get(), count.of.borrow());
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, steps)) => {
            Err(format!("seed {seed}, shrunk to {} steps:\n{reason}", steps.len()))
        }
        Err(e) => Err(format!("seed {seed}: {e}")),
    }
}

/// Issue 8: whatever is done in whatever order, states are those of the model, nothing is lost that was
/// not to be removed, a dry run tells the truth, and nothing is left behind.
#[test]
fn haul_does_what_its_documents_say() {
    let (steps, seeds) = (setting("HAUL_MODEL_STEPS", STEPS), setting("HAUL_MODEL_SEEDS", SEEDS));
    let first = setting("HAUL_MODEL_SEED", 1);
    let (next, found) = (AtomicU64::new(first), AtomicU64::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            if let Err(e) = from_seed(seed, steps.div_ceil(seeds)) {
                println!("{e}\nHAUL_MODEL_SEED={seed} HAUL_MODEL_SEEDS=1 shows it again\n");
                found.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    // A history to a core: each has a world of its own.
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(seeds);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let found = found.into_inner();
    assert!(found == 0, "{found} of {seeds} seeds found a difference");
}
