//! A program's keys of pointer authentication: chance at `execve`, shared with the threads it makes, renewed on request.

use abi::Errno;
use abi::task::prctl;
use arch::features::{Feature, has};
use arch::pauth::{KeySet, Keys};

use super::{Task, current};
use crate::rng;
use crate::syscall::Args;

impl Task {
    /// Gives the task, which is the current one, new keys in the place of `which`.
    pub(super) fn renew_keys(&self, which: KeySet) {
        if !arch::pauth::wanted() {
            return;
        }
        let mut random = [0; Keys::SIZE];
        rng::fill(&mut random);
        let keys = self.keys.get().renewed(which, &random);
        self.keys.set(keys);
        keys.load();
    }
}

/// `prctl(option, ..)`: `PR_PAC_RESET_KEYS` alone, for the thread that calls (Linux: `ptrauth_prctl_reset_keys`).
pub(crate) fn sys_prctl(a: &Args) -> Result<u64, Errno> {
    let [option, keys, rest @ .., _] = a.a;
    if option != prctl::PAC_RESET_KEYS || rest != [0; 3] || !arch::pauth::wanted() {
        return Err(Errno::EINVAL);
    }
    let which = if keys == 0 { KeySet::all() } else { KeySet::from_bits(keys).ok_or(Errno::EINVAL)? };
    let missing = |set, feature| keys != 0 && which.intersects(set) && !has(feature);
    if missing(KeySet::ADDRESS, Feature::PauthAddress) || missing(KeySet::GA, Feature::PauthGeneric) {
        return Err(Errno::EINVAL);
    }
    current().renew_keys(which);
    Ok(0)
}
