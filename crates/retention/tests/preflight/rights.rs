//! What the role may do, and what the server allows.

use tierkeep_retention::preflight::{Conditions, Durability, Intent, ServerFacts, TableFacts, check_server};
use tierkeep_testkit::{DatabaseClient, PostgresServer};

use crate::{Platform, RUN, codes, only_refusal};

const PREVIEW: Conditions = Conditions { intent: Intent::Preview, ..RUN };

/// Tables in a schema of their own, and a role that is named after the database, as roles belong to the server.
async fn as_role(rights: &str) -> (Platform, String) {
    let platform =
        Platform::new("create schema s; alter table live set schema s; alter table archive set schema s").await;
    let row = platform.client.query_one("select 'Role of ' || current_database()", &[]).await.unwrap();
    let role: String = row.get(0);
    let quoted = format!("\"{role}\"");
    platform.client.batch_execute(&format!("create role {quoted}")).await.unwrap();
    platform.client.batch_execute(&rights.replace("ROLE", &quoted)).await.unwrap();
    platform.client.batch_execute(&format!("set role {quoted}; set search_path to s")).await.unwrap();
    (platform, role)
}

async fn found(platform: &Platform, conditions: Conditions) -> tierkeep_retention::preflight::Findings {
    let (live, archive) = (platform.facts("s.live").await, platform.facts("s.archive").await);
    tierkeep_retention::preflight::check(&crate::archiving(&live, &archive), conditions)
}

#[tokio::test]
async fn role_without_rights_is_told_the_grants_that_help() {
    let (platform, role) = as_role("").await;

    let findings = found(&platform, RUN).await;

    assert_eq!(codes(&findings), ["missing_privilege"; 2]);
    let text = crate::told(findings.clone());
    assert!(
        text.contains(&format!(
            r#"grant usage on schema "s" to "{role}"; grant select, update, delete on "s"."live" to "{role}""#
        )),
        "{text}"
    );
    platform.client.batch_execute("reset role").await.unwrap();
    for finding in findings.iter() {
        let tierkeep_retention::preflight::Finding::Refusal { remedy, .. } = finding else { panic!("{finding}") };
        platform.client.batch_execute(remedy).await.unwrap();
    }
    platform.client.batch_execute(&format!("set role \"{role}\"")).await.unwrap();
    assert!(found(&platform, RUN).await.is_empty());
}

#[tokio::test]
async fn each_missing_right_is_named() {
    let all = "grant usage on schema s to ROLE; grant select, update, delete on s.live to ROLE;
        grant select, insert on s.archive to ROLE;";
    for (revoked, of) in [("select", "live"), ("update", "live"), ("delete", "live"), ("insert", "archive")] {
        let (platform, role) = as_role(&format!("{all} revoke {revoked} on s.{of} from ROLE")).await;

        let findings = found(&platform, RUN).await;

        let remedy = only_refusal(&findings, "missing_privilege", &[revoked, of]);
        assert_eq!(remedy, format!(r#"grant {revoked} on "s"."{of}" to "{role}""#));
    }
    let (platform, _) = as_role(all).await;
    assert!(found(&platform, RUN).await.is_empty());
}

#[tokio::test]
async fn preview_takes_no_more_than_reading() {
    let reading = "grant usage on schema s to ROLE; grant select on s.live, s.archive to ROLE";
    let (platform, _) = as_role(reading).await;

    assert!(!found(&platform, PREVIEW).await.is_refused());
    assert!(found(&platform, RUN).await.is_refused());
    let (platform, _) = as_role("grant usage on schema s to ROLE; grant select on s.archive to ROLE").await;
    assert!(found(&platform, PREVIEW).await.is_refused(), "what cannot be read cannot be counted");
}

#[tokio::test]
async fn row_security_is_refused_where_it_applies() {
    let all = "grant usage on schema s to ROLE; grant all on s.live, s.archive to ROLE;
        alter table s.live enable row level security;";
    let (platform, role) = as_role(all).await;

    let words = ["row-level security", role.as_str()];
    only_refusal(&found(&platform, RUN).await, "row_security", &words);

    let (platform, _) = as_role(&format!("{all} alter role ROLE bypassrls")).await;
    assert!(found(&platform, RUN).await.is_empty());
}

#[tokio::test]
async fn session_that_cannot_write_is_refused_and_may_preview() {
    let platform = Platform::new("").await;
    let read_only = async || ServerFacts::read_postgres(&platform.client).await.unwrap();

    assert!(check_server(&read_only().await, Intent::Run).iter().all(|finding| !finding.is_refusal()));
    for setting in ["default_transaction_read_only", "transaction_read_only"] {
        platform.client.batch_execute(&format!("begin; set {setting} to on")).await.unwrap();
        let server = read_only().await;
        platform.client.batch_execute("rollback").await.unwrap();

        only_refusal(&check_server(&server, Intent::Run), "read_only", &["takes no writes"]);
        assert!(!check_server(&server, Intent::Preview).is_refused());
    }
}

#[tokio::test]
async fn replica_is_refused_and_can_be_previewed() {
    let primary = PostgresServer::builder().setting("synchronous_standby_names", "standby").launch().await.unwrap();
    let database = primary.database().await.unwrap();
    let standby = primary.standby().await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute("set synchronous_commit to remote_apply").await.unwrap();
    client.batch_execute(crate::TABLES).await.unwrap();
    let replica = DatabaseClient::connect(&standby.url(database.name())).await.unwrap();

    let server = ServerFacts::read_postgres(&replica).await.unwrap();
    let live = TableFacts::read_postgres(&replica, &"live".parse().unwrap()).await.unwrap();

    only_refusal(&check_server(&server, Intent::Run), "read_only", &["replica"]);
    assert!(!check_server(&server, Intent::Preview).is_refused());
    assert_eq!(live.unwrap().primary_key, ["id"], "its tables can be looked at");
}

#[tokio::test]
async fn server_tells_what_a_crash_may_undo() {
    let platform = Platform::new("").await;
    platform.client.batch_execute("set synchronous_commit to off").await.unwrap();

    let server = ServerFacts::read_postgres(&platform.client).await.unwrap();

    let Durability::Postgres { fsync, full_page_writes, synchronous_commit } = &server.durability else { panic!() };
    assert_eq!(synchronous_commit, "off");
    let off = [!fsync, !full_page_writes, true].into_iter().filter(|is_off| *is_off).count();
    assert_eq!(codes(&check_server(&server, Intent::Run)), vec!["durability"; off]);
    let row = platform.client.query_one("select current_setting('server_version_num')::int >= 140000", &[]).await;
    assert_eq!(server.has_row_hash, row.unwrap().get::<_, bool>(0));
    assert!(server.clock > "2024-01-01T00:00:00Z".parse().unwrap());
}
