//! From a model or a manifest to machines that can be started, with progress told on the way.
//!
//! Invariant: cancelling the task ends every process it started.

use std::sync::Arc;

use super::driver::{Events, Msg};
use super::{Context, checks};
use crate::error::{Error, Result, ResultExt};
use crate::model::Manifest;
use crate::proto::{Level, ModelSource, NodeState};
use crate::session::Event;

/// Prepares the session and tells what came of it.
pub(super) async fn run(context: Arc<Context>, events: Events) {
    let event = match prepare(&context, &events).await {
        Ok(()) => Event::Ready,
        Err(e) => {
            let hints: Vec<String> = e.hints.iter().map(|h| format!("\nhint: {h}")).collect();
            Event::PrepareFailed { error: format!("{}{}", e.message, hints.concat()) }
        }
    };
    tell(&events, event);
}

fn tell(events: &Events, event: Event) {
    // The driver goes away only when the daemon ends.
    let _ = events.send(Msg::Event(event));
}

async fn prepare(context: &Context, events: &Events) -> Result<()> {
    let (manifest, system_why) = match &context.options.source {
        ModelSource::Manifest(path) => {
            let text = tokio::fs::read_to_string(path).await.doing(path.display())?;
            let manifest = crate::model::parse(&text).map_err(|problems| {
                let lines: Vec<String> = problems.iter().map(|p| format!("\n  {p}")).collect();
                Error::new(format!("{} is no valid manifest:{}", path.display(), lines.concat()))
                    .hint("diorama schema prints what a manifest looks like")
            })?;
            (manifest, "a manifest says what runs".to_owned())
        }
        ModelSource::Model(path) => {
            return Err(Error::new(format!("{}: a model cannot be evaluated here", path.display())));
        }
    };
    let state = context.paths.network_state(&context.options.session);
    tokio::fs::create_dir_all(&state).await.doing(state.display())?;
    tell(events, Event::Evaluated { manifest: Box::new(manifest.clone()), system_why });
    built(&manifest, events);
    checks::files(&manifest)?;
    for text in checks::resources(&manifest, &state)? {
        tell(events, Event::Note { level: Level::Warning, text });
    }
    Ok(())
}

fn built(manifest: &Manifest, events: &Events) {
    for node in manifest.nodes.keys().cloned() {
        let event =
            Event::Progress { node, state: NodeState::Built, progress: Some(100), doing: String::new() };
        tell(events, event);
    }
}
