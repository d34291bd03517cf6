//! Several sessions on the same mailboxes against a simple model of them:
//! random commands, each reply checked, what is told unasked included; and
//! clients that go in the middle of a reply and come back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod model;
mod reply;
mod session;
mod steps;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use steps::{Step, step};
use world::World;

/// Steps of one run.
const STEPS: std::ops::Range<usize> = 40..160;

fn run(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new().await;
        for step in steps {
            world.step(step).await;
        }
        world.end().await;
    });
}

/// `PROPTEST_CASES` makes it longer.
#[test]
fn the_model_and_the_server_agree() {
    let config = Config {
        cases: std::env::var("PROPTEST_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(48),
        max_shrink_iters: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let steps = prop::collection::vec(step(), STEPS);
    let done = TestRunner::new(config).run(&steps, |steps| {
        run(&steps);
        Ok(())
    });
    if let Err(error) = done {
        panic!("{error}");
    }
}
