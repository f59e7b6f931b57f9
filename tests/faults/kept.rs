//! Killed while a layer is kept: what has a name is whole, and a later run can go on with it.

use sandbox::machine::host::Host;
use sandbox::run::state::sweep;
use sandbox::stages::levels;

use crate::common::Who;
use crate::common::sets::Set;
use crate::kinds::kill_after;
use crate::{name, planned};

pub(crate) fn kill_while_a_layer_is_kept(who: &Who) {
    let host = Host::gather();
    let (id, sleep) = (name(), ["sleep", "61234"]);
    let keep = format!("--keep={id}");
    let mut stages = levels::level("union").unwrap();
    stages.retain(|stage| *stage != "cgroups");
    let args = ["--only", &stages.join(","), &keep].map(str::to_owned).to_vec();
    let set = Set { name: format!("{}: union that keeps", who.name), args };
    let ready = planned(&set, &id, &host, &sleep);
    let kept = ready.spec.layers.keep_as.clone().unwrap();
    let count = ready.plan.steps.len();
    let mut named = 0;
    for step in 0..=count {
        let what = format!("{} after {step} of {count} steps", set.name);
        kill_after(&ready, step, &what);
        sweep(&host.state_base).unwrap();
        assert!(!ready.spec.layers.dir.exists(), "{what}: layers without a name are left");
        if kept.exists() {
            named += 1;
            kill_after(&planned(&set, &id, &host, &sleep), usize::MAX, &what);
            sweep(&host.state_base).unwrap();
            rootfs_fetch::remove(&kept).unwrap();
        }
    }
    assert!(0 < named && named < count, "{}: {named} of {count} kept", set.name);
}
