//! One workload: set up, then called with a look at every moment at which the power may fail.

use fs_explore::{Effort, Numbers, Tree, Violation, cut_at_fences, judge};
use pmem_sim::Fault;

use crate::workloads::Workload;

/// Explores a workload.
///
/// # Errors
/// The first [`Violation`].
pub(crate) fn explore(workload: &Workload, effort: Effort) -> Result<Numbers, Violation> {
    explore_with(workload, effort, None)
}

/// Explores a workload whose call runs with a fault put in.
///
/// # Errors
/// The first [`Violation`].
pub(crate) fn explore_with(workload: &Workload, effort: Effort, fault: Option<Fault>) -> Result<Numbers, Violation> {
    let fs = workload.world();
    workload.set_up(&fs).expect("the set-up succeeds");
    let before = Tree::of(&fs).expect("the tree before can be read");
    let medium = fs.medium().clone();
    if let Some(fault) = fault {
        medium.inject(fault);
    }
    let (result, cuts) = cut_at_fences(&medium, effort.states, || workload.call(&fs));
    result.expect("the call succeeds");
    if !medium.faults_struck() {
        return Err(Violation::FaultDidNotStrike);
    }
    let after = Tree::of(&fs).expect("the tree after can be read");
    assert!(workload.may_change_nothing || before != after, "{} changes nothing", workload.name);
    judge(cuts, &before, &after, effort)
}
