//! One alert's life in one piece: pending, firing, a reload, a restart in the middle, resolved.

use std::sync::Arc;

use rules::{AlertState, GroupOptions};

use crate::world::{With as _, World, alert, at, group, record, secs};

const START: f64 = 1_795_000_000.0;

fn groups(hold: u64) -> Vec<GroupOptions> {
    let mut of_alerts = group(
        "alerts",
        vec![
            alert("Down", "up == 0", hold, 0).annotated(&[("text", "{{ $labels.instance }} is down")]),
            alert("Flaps", "flaps:max > 0", 60, 120),
        ],
    );
    of_alerts.interval = secs(15);
    let mut recorded = group("recorded", vec![record("flaps:max", "max(flaps)", &[])]);
    recorded.interval = secs(15);
    vec![of_alerts, recorded]
}

/// Scrapes and evaluations every 15 seconds. Of `flaps` every third scrape is 0; at minute 3 a scrape is missing.
fn run(world: &World, minutes: std::ops::Range<f64>, up: f64) {
    let mut t = minutes.start * 60.0;
    while t < minutes.end * 60.0 {
        let missing = (180.0..195.0).contains(&t);
        if !missing {
            world.sample(r#"up{instance="a"}"#, START + t, up);
            let flaps = f64::from(u8::from((t / 15.0) as u64 % 3 != 2));
            world.sample("flaps", START + t, flaps);
        } else {
            world.ends("flaps", START + t);
        }
        world.group("recorded").evaluate(at(START + t + 1.0));
        world.group("alerts").evaluate(at(START + t + 2.0));
        t += 15.0;
    }
}

/// The alert that is followed.
fn down(world: &World) -> Vec<String> {
    world.alerts("instance").into_iter().filter(|alert| alert.starts_with("Down")).collect()
}

#[test]
fn an_alert_lives_through_a_reload_and_a_restart() {
    let world = World::new(groups(1200));
    run(&world, 0.0..1.0, 1.0);
    assert_eq!(world.group("alerts").rules()[0].state(), AlertState::Inactive);

    // It is pending, and a missing scrape does not change that: the last sample still counts.
    run(&world, 1.0..4.0, 0.0);
    assert_eq!(down(&world), ["Down a pending"]);
    assert!(world.take_sent().is_empty());

    // A reload with another rule beside it leaves it pending since then.
    let since = world.group("alerts").rules()[0].active_alerts()[0].active_at;
    assert_eq!(since, at(START + 62.0));
    let mut changed = groups(1200);
    changed[0].rules.push(alert("Other", "vector(0) > 1", 0, 0));
    world.reload(changed);
    assert_eq!(down(&world), ["Down a pending"]);
    assert_eq!(world.group("alerts").rules()[0].active_alerts()[0].active_at, since);
    run(&world, 4.0..11.0, 0.0);
    assert_eq!(down(&world), ["Down a pending"]);

    // The server is away for five minutes, which do not count. Ten of twenty minutes are left.
    let world = World::with(Arc::clone(&world.store), groups(1200), |options| options);
    assert!(down(&world).is_empty());
    run(&world, 16.0..17.0, 0.0);
    let restored = world.group("alerts").rules()[0].active_alerts()[0].active_at;
    // The last that was written was at 10:47; it was restored after the second evaluation, at 16:17.
    assert!((restored.0 - at(START + 62.0 + 330.0).0).abs() < 1_000_000_000, "{restored:?}");
    run(&world, 17.0..26.5, 0.0);
    assert_eq!(down(&world), ["Down a pending"]);
    assert!(world.take_sent().is_empty());
    run(&world, 26.5..27.0, 0.0);
    assert_eq!(down(&world), ["Down a firing"]);
    let sent = world.take_sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].annotations[..], [("text".to_owned(), "a is down".to_owned())]);
    assert_eq!(sent[0].ends_at, sent[0].starts_at.after(secs(240)));

    // It resolves, and is told for fifteen minutes.
    run(&world, 27.0..28.0, 1.0);
    assert!(down(&world).is_empty());
    let sent = world.take_sent();
    assert_eq!(sent.last().unwrap().ends_at, at(START + 27.0 * 60.0 + 2.0));
    run(&world, 28.0..42.0, 1.0);
    assert_eq!(world.group("alerts").rules()[0].all_alerts().len(), 1);
    run(&world, 42.0..43.0, 1.0);
    assert!(world.group("alerts").rules()[0].all_alerts().is_empty());
    world.take_sent();
    run(&world, 43.0..46.0, 1.0);
    assert!(world.take_sent().is_empty());

    // The state is written down only from the restoration on, and ends with the alert.
    let stored = world.stored("ALERTS_FOR_STATE");
    let (_, samples) = stored.iter().find(|(name, _)| name.contains("Down")).unwrap();
    let (last, before) = (samples[samples.len() - 1], samples[samples.len() - 2]);
    assert_eq!(last, (at(START + 27.0 * 60.0 + 2.0).millis(), None));
    assert_eq!(before.1, Some(restored.seconds() as f64));
    assert!(samples.iter().all(|(t, _)| !(650_000..992_000).contains(&(t - at(START).millis()))));
}

#[test]
fn a_flapping_series_never_fires_and_one_that_keeps_firing_does_not_flap() {
    let world = World::new(vec![
        group("recorded", vec![record("flaps:max", "max(flaps)", &[])]),
        group("alerts", vec![alert("Slow", "flaps:max > 0", 60, 0), alert("Keeps", "flaps:max > 0", 0, 60)]),
    ]);
    run(&world, 0.0..20.0, 1.0);
    assert_eq!(world.alerts("x"), ["Slow pending", "Keeps firing"]);
    let stored = world.stored("ALERTS");
    assert!(!stored.contains_key(r#"{__name__="ALERTS", alertname="Slow", alertstate="firing"}"#));
    // Only the scrape that was missing ended the recorded series, and so could not end the alert.
    let keeps = &stored[r#"{__name__="ALERTS", alertname="Keeps", alertstate="firing"}"#];
    assert_eq!(keeps.len(), 80);
    assert!(keeps.iter().all(|(_, v)| *v == Some(1.0)));
    assert_eq!(world.take_sent().len(), 16, "not before a minute has passed");
    let recorded = &world.stored("flaps:max")[r#"{__name__="flaps:max"}"#];
    assert_eq!(recorded.iter().filter(|(_, v)| v.is_none()).count(), 1);
}
