//! Who is let in.
//!
//! Owns the places of a share: who has one, who was turned away, and when enough receivers are done.
//! It must never hold a place for a visitor that has not shown that it has the ticket, nor for the
//! ghost of one that is back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use iroh::EndpointId;
use iroh::endpoint::Connection;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::deadline::Deadline;
use crate::fault::{self, Close};

/// Guests at once.
const GUESTS: usize = 128;

/// How soon one that was turned away is back at the latest: when it was told to, and some.
const BACK_AFTER: Duration = fault::FULL_WAIT.saturating_add(Duration::from_secs(3));

/// How long after it was turned away somebody counts as one who waits for a place.
const WAITS: Duration = Duration::from_mins(1);

/// How long a guest may take nothing and say nothing while others wait for its place. Long enough to
/// look through what it has from an earlier time.
const DOZES: Duration = Duration::from_mins(30);

/// Those who are remembered as turned away.
const REMEMBERED: usize = 1024;

/// A receiver's right to be here; with a bound, others wait for it.
#[derive(Debug)]
struct Place(Option<OwnedSemaphorePermit>);

/// A receiver that was let in.
#[derive(Debug)]
pub(crate) struct Guest {
    number: u64,
    connection: Connection,
    /// Until it goes, or is found to be back.
    place: Mutex<Option<Place>>,
}

impl Guest {
    fn leave_place(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug, Default)]
struct State {
    present: HashMap<u64, Arc<Guest>>,
    turned_away: HashMap<EndpointId, Instant>,
    /// Why nobody is let in any more.
    shut: Option<Close>,
}

/// The way in.
#[derive(Debug)]
pub(crate) struct Door {
    /// Places for receivers that are not done yet, where there is a bound.
    places: Option<Arc<Semaphore>>,
    wanted: Option<u64>,
    finished: AtomicU64,
    enough: Notify,
    deadline: Option<Deadline>,
    state: Mutex<State>,
}

impl Door {
    /// A door for so many receivers, until then.
    pub(crate) fn new(receivers: Option<u64>, deadline: Option<Deadline>) -> Self {
        let places = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            places: receivers.map(|n| Arc::new(Semaphore::new(places(n)))),
            wanted: receivers,
            finished: AtomicU64::new(0),
            enough: Notify::new(),
            deadline,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receivers that have everything.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Waits until as many receivers as are wanted have everything.
    pub(crate) async fn enough(&self) {
        loop {
            let changed = self.enough.notified();
            if self.wanted.is_some_and(|wanted| self.finished() >= wanted) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the time is over, if there is an end to it.
    pub(crate) async fn expired(&self) {
        match &self.deadline {
            Some(deadline) => deadline.over().await,
            None => std::future::pending().await,
        }
    }

    /// Lets a receiver in, or says why not. One that is back while its last connection still counts
    /// has that one's place; `alone`: it never has two at once.
    pub(crate) fn admit(
        &self,
        number: u64,
        connection: &Connection,
        alone: bool,
    ) -> Result<Arc<Guest>, Close> {
        let id = connection.remote_id();
        let mut state = self.state();
        if self.deadline.is_some_and(|deadline| deadline.is_over()) {
            state.shut.get_or_insert(Close::Over);
        }
        if let Some(why) = state.shut {
            state.turned_away.remove(&id);
            return Err(why);
        }
        let ghost = state.present.values().find(|guest| guest.connection.remote_id() == id);
        let ghost = ghost.map(Arc::clone);
        let free = || if state.present.len() < GUESTS { self.free() } else { None };
        let taken_over = || {
            let ghost = ghost.as_ref()?;
            let place = ghost.leave_place()?;
            ghost.connection.close(Close::Done.code(), b"");
            Some(place)
        };
        let place = if alone { taken_over().or_else(free) } else { free().or_else(taken_over) };
        let Some(place) = place else {
            let now = Instant::now();
            state.turned_away.retain(|_, at| now.duration_since(*at) < WAITS);
            if state.turned_away.len() < REMEMBERED {
                state.turned_away.insert(id, now);
            }
            return Err(Close::Full);
        };
        state.turned_away.remove(&id);
        let (connection, place) = (connection.clone(), Mutex::new(Some(place)));
        let guest = Arc::new(Guest { number, connection, place });
        state.present.insert(number, Arc::clone(&guest));
        Ok(guest)
    }

    fn free(&self) -> Option<Place> {
        match &self.places {
            None => Some(Place(None)),
            Some(places) => {
                Arc::clone(places).try_acquire_owned().ok().map(|place| Place(Some(place)))
            }
        }
    }

    /// A guest goes. Whoever hears of it afterwards finds its place free, unless it has everything:
    /// then it is not given to another.
    pub(crate) fn leave(&self, guest: &Guest, finished: bool) {
        let place = guest.leave_place();
        self.state().present.remove(&guest.number);
        if finished {
            if let Some(Place(Some(place))) = place {
                place.forget();
            }
            self.finished.fetch_add(1, Ordering::Relaxed);
            self.enough.notify_waiters();
        }
    }

    /// Whether a guest that has been doing nothing for so long has to go, because others wait.
    pub(crate) fn is_overdue(&self, idle: Duration) -> bool {
        idle >= DOZES && self.is_awaited(WAITS)
    }

    /// Whether somebody was turned away so lately.
    fn is_awaited(&self, lately: Duration) -> bool {
        self.state().turned_away.values().any(|at| at.elapsed() < lately)
    }

    /// Lets nobody in from now on.
    pub(crate) fn shut(&self, why: Close) {
        self.state().shut = Some(why);
    }

    /// Why nobody is let in any more.
    pub(crate) fn why_shut(&self) -> Close {
        self.state().shut.unwrap_or(Close::Stopping)
    }

    /// Waits until those who were turned away and are coming back have heard why.
    pub(crate) async fn all_told(&self) {
        while self.is_awaited(BACK_AFTER) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
