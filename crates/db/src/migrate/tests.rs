use proptest::prelude::*;

use super::*;

fn migrations(versions: &[u32]) -> Migrations {
    Migrations::new(versions.iter().map(|version| (*version, format!("m{version}"), format!("-- {version}")))).unwrap()
}

fn applied(migrations: &Migrations) -> Vec<Applied> {
    migrations
        .list
        .iter()
        .map(|migration| Applied {
            version: migration.stored_version(),
            name: migration.name.clone(),
            checksum: migration.checksum(),
        })
        .collect()
}

fn planned(known: &Migrations, found: &[Applied]) -> Result<Vec<u32>, Error> {
    known.plan(found).map(|pending| pending.iter().map(|migration| migration.version).collect())
}

#[test]
fn numbers_that_do_not_rise_are_refused() {
    assert_eq!(
        Migrations::new([(1, "a", ""), (1, "b", "")]).unwrap_err(),
        MigrationsError::Order { version: 1, previous: 1 }
    );
    assert!(Migrations::new([(0, "a", "")]).is_err());
    assert_eq!(Migrations::new([(u32::MAX, "a", "")]).unwrap_err(), MigrationsError::TooLarge { version: u32::MAX });
}

#[test]
fn database_of_a_newer_program_is_refused() {
    let found = applied(&migrations(&[1, 2, 3]));

    assert!(matches!(migrations(&[1, 2]).plan(&found), Err(Error::DatabaseNewer { found: 3, known: 2 })));
}

#[test]
fn edited_migration_is_refused() {
    let mut found = applied(&migrations(&[1, 2]));
    found[0].checksum = "0".to_owned();

    assert!(matches!(migrations(&[1, 2]).plan(&found), Err(Error::MigrationDivergent { version: 1, .. })));
}

#[test]
fn hole_in_the_database_is_refused() {
    let found = applied(&migrations(&[1, 3]));

    assert!(matches!(
        migrations(&[1, 2, 3, 4]).plan(&found),
        Err(Error::MigrationMissing { version: 2, missing_from: "the database", .. })
    ));
}

#[test]
fn hole_in_the_program_is_refused() {
    let found = applied(&migrations(&[1, 2, 3]));

    assert!(matches!(
        migrations(&[1, 3]).plan(&found),
        Err(Error::MigrationMissing { version: 2, missing_from: "this program", .. })
    ));
    assert!(matches!(
        migrations(&[1, 4]).plan(&found),
        Err(Error::MigrationMissing { version: 2, missing_from: "this program", .. })
    ));
}

proptest! {
    #[test]
    fn exactly_the_rest_of_the_list_is_planned(count in 0_usize..8, done in 0_usize..8) {
        let versions: Vec<u32> = (1..=count as u32).map(|n| n * 2).collect();
        let done = done.min(count);
        let known = migrations(&versions);
        let found = applied(&migrations(&versions[..done]));

        prop_assert_eq!(planned(&known, &found).unwrap(), versions[done..].to_vec());
    }

    #[test]
    fn any_two_histories_agree_or_are_refused_for_a_reason(
        known in proptest::collection::btree_set(1_u32..7, 0..6),
        found in proptest::collection::btree_set(1_u32..7, 0..6),
    ) {
        let known: Vec<u32> = known.into_iter().collect();
        let found: Vec<u32> = found.into_iter().collect();

        let plan = planned(&migrations(&known), &applied(&migrations(&found)));

        match plan {
            Ok(pending) => prop_assert_eq!([found, pending].concat(), known),
            Err(_) => prop_assert!(!known.starts_with(&found)),
        }
    }
}
