//! A host is started anew in the middle of a deployment: by its reset button, or in good order.

use crate::Systems;
use crate::world::{VICTIM, World};

pub fn reset_while_activating(w: &World, s: &mut Systems) {
    w.on(VICTIM, &format!("echo {} >/var/lib/hold; sync", s.new.0));
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "activating");
    w.wait("the unit is held", || w.ssh(VICTIM, "systemctl is-active hello | grep -q activating"));
    w.reset(VICTIM);
    run.end(5).outcomes(["rolled-back"; 3]);
    w.all_settled(s.old.0);
    w.on(VICTIM, "rm -f /var/lib/hold");
}

pub fn rebooted_when_active(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "checking");
    w.on(VICTIM, "systemctl reboot");
    run.end(5).outcomes(["rolled-back"; 3]);
    w.all_settled(s.old.0);
    w.on(VICTIM, "rm -f /var/lib/sick");
}

/// It boots the new system, since it was told to: the others have to go back, so it does, too.
pub fn reset_when_committed(w: &World, s: &mut Systems) {
    let mut run = w.begin(&s.new.1, &[]);
    // Nobody is let go before the web server has committed, which nobody hears of.
    run.phase("webserver", "committing");
    w.cable("webserver").cut();
    run.phase(VICTIM, "committed");
    w.reset(VICTIM);
    w.settled("webserver", s.old.0);
    w.cable("webserver").heal();
    run.end(5).outcomes(["rolled-back"; 3]);
}
