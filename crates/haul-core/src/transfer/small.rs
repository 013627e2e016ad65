//! Small objects, which one request opens and reads.
//!
//! Owns the order in which such an object takes what others wait for: first its share of the budget,
//! then, by the request, a permit of the source's gate, as every chunk does. The other way round small
//! objects would hold the gate and wait for the budget, while chunks of large ones hold the budget and
//! wait for the gate. Must never hold either for a plan that it was not taken for.

use super::Run;
use crate::budget::BudgetPermit;
use crate::error::{Error, Op, Result};
use crate::fetch::Fetcher;
use crate::plan::{self, ChunkPlan};
use crate::sink::Content;
use crate::source::{Body, Opened};

/// What opening a small object took and brought.
pub(super) struct Small {
    share: BudgetPermit,
    cost: u64,
    body: Option<Body>,
}

/// An only chunk's share of the budget, and its bytes where they were read already.
pub(super) type Ready = (BudgetPermit, Option<Content>);

impl Run {
    /// Opens the source: with room for all of it where that will be one chunk, so that it may be asked
    /// for at once.
    pub(super) async fn open(&self) -> Result<(Opened, Option<Small>)> {
        let policy = self.engine.options().retry;
        let source = &self.job.source;
        let Some(cost) = source.size_hint().and_then(|size| self.cost_if_small(size)) else {
            let open = || source.open();
            return Ok((self.engine.retrying(policy, &self.cx, &self.from, open).await?, None));
        };
        let share = self.cx.cancel.run_until_cancelled(self.engine.budget().acquire(cost)).await;
        let share = share.ok_or_else(|| Error::cancelled(Op::Open, &self.from))?;
        let open = || source.open_whole();
        let (opened, body) = self.engine.retrying(policy, &self.cx, &self.from, open).await?;
        Ok((opened, Some(Small { share, cost, body })))
    }

    /// What an object of `size` takes of the budget, if it is one chunk. Not where it would be sent on
    /// as it comes to a target with a gate: it would hold the source's while it waits for that one.
    fn cost_if_small(&self, size: u64) -> Option<u64> {
        let plan = plan::plan(size, &self.target_limits, self.policy()).ok()?;
        let (costs, gate) = (self.costs(), &self.target_limits.gate);
        let small = plan.chunks() == 1 && (gate.is_none() || costs.holds(size));
        small.then(|| costs.of(size))
    }

    /// Hands on what opening took and brought, where the plan is the one that it was taken for; gives
    /// it back where it is not. A body that goes to a target with a gate is read at once, because
    /// whatever is asked of the target may have to wait for that gate.
    pub(super) async fn ready(
        &self,
        small: Option<Small>,
        plan: &ChunkPlan,
        fetcher: &Fetcher,
    ) -> Result<Option<Ready>> {
        let Some(Small { share, cost, body }) = small else { return Ok(None) };
        if plan.chunks() != 1 || self.costs().of(plan.size()) > cost {
            return Ok(None);
        }
        let Some(body) = body else { return Ok(Some((share, None))) };
        fetcher.go_on_with(body);
        if self.target_limits.gate.is_none() {
            return Ok(Some((share, None)));
        }
        let mut content = None;
        for chunk in plan.iter() {
            let reading = fetcher.read_all(chunk.range, self.engine.pool());
            let read = self.cx.cancel.run_until_cancelled(Box::pin(reading)).await;
            let read = read.unwrap_or_else(|| Err(Error::cancelled(Op::Read, &self.from)));
            content = Some(read.map(|(segments, sums)| Content::Held(segments, sums))?);
        }
        Ok(Some((share, content)))
    }
}
