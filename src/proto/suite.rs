//! How a session's test script goes: what its runner tells, and what clients see. Fields are only ever
//! added, with a default.

use serde::{Deserialize, Serialize};

/// What a script's runner tells the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TestTold {
    /// The script begins.
    Begin {
        /// Where its reports will be.
        #[serde(default)]
        out_dir: String,
    },
    /// A subtest begins.
    SubtestBegin {
        /// Its name, after those around it.
        name: Vec<String>,
    },
    /// A subtest ended.
    SubtestEnd {
        /// Its name, after those around it.
        name: Vec<String>,
        /// How.
        result: TestState,
        /// How long it took.
        #[serde(default)]
        ms: u64,
        /// What went wrong.
        #[serde(default)]
        message: Option<String>,
        /// The node on which it did.
        #[serde(default)]
        node: Option<String>,
        /// That node's last console line at that moment.
        #[serde(default)]
        line: Option<String>,
    },
    /// The script ended.
    End {
        /// How.
        result: TestState,
        /// What went wrong.
        #[serde(default)]
        message: Option<String>,
    },
}

/// How a script or a subtest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestState {
    /// It has not run.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// All it asked for held.
    Passed,
    /// Something it asked for did not hold.
    Failed,
    /// It could not be carried to its end.
    Error,
    /// It was not selected.
    Skipped,
}

/// A session's test script as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestsView {
    /// Whether the model has a script.
    pub script: bool,
    /// How its last run is.
    pub state: TestState,
    /// Why it failed.
    #[serde(default)]
    pub message: Option<String>,
    /// Unix time in milliseconds when it began.
    #[serde(default)]
    pub started: Option<u64>,
    /// How long it took, once it has ended.
    #[serde(default)]
    pub ms: Option<u64>,
    /// Where its reports are.
    #[serde(default)]
    pub out_dir: String,
    /// Its subtests: those that its text names, and those that ran.
    #[serde(default)]
    pub subtests: Vec<SubtestView>,
}

/// A subtest as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubtestView {
    /// Its name; of a nested one with those around it, `outer / inner`.
    pub name: String,
    /// How it is.
    pub state: TestState,
    /// Unix time in milliseconds when it began.
    #[serde(default)]
    pub started: Option<u64>,
    /// How long it took, once it has ended.
    #[serde(default)]
    pub ms: Option<u64>,
    /// What went wrong.
    #[serde(default)]
    pub message: Option<String>,
    /// The node on which it did.
    #[serde(default)]
    pub node: Option<String>,
    /// That node's last console line at that moment.
    #[serde(default)]
    pub line: Option<String>,
}
