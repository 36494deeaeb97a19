//! Who a statement is about: the identifiers of xAPI, and the learner they stand for.

use serde_json::{Map, Value};
use sha1_smol::Sha1;
use uuid::Uuid;

use super::statement::{Fault, map, text};
use crate::import::field;
use crate::key::{Key, KeyType, UserId};

/// Namespace of every id that is derived from statements. Changing it would make learners and sessions new.
pub(super) const NAMESPACE: Uuid = Uuid::from_u128(0x8c6a_0e0f_53d1_4d54_9c1e_2f6b_71a3_d9e5);

/// Most characters of an account's name that become the learner's name.
const NAME_CHARS: usize = 150;

/// A learner as statements name one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actor {
    /// The learner's key.
    pub(super) user: UserId,
    /// The account's name; for other identifiers a label that shows nothing of them.
    pub(super) username: String,
}

/// An identifier in the one form in which it is compared.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    Account {
        home_page: String,
        name: String,
    },
    /// SHA-1 of the mail address with its domain in lower case, so that `mbox` and `mbox_sha1sum` meet.
    Mail(String),
    OpenId(String),
}

impl Actor {
    /// Reads an actor. In a database of UUIDs an account whose name is a UUID is the learner with that id, and any other
    /// identifier gets a UUID derived from it. In a database of integers the name of the account is the id.
    pub(super) fn read(actor: &Map<String, Value>, key_type: KeyType) -> Result<Self, Fault> {
        let is_group = text(actor, "objectType", "actor.objectType")? == Some("Group");
        if is_group || actor.contains_key("member") {
            return Err(Fault::new("actor", "a group is not one learner; accepted: an Agent"));
        }
        let identity = Identity::read(actor)?;
        let user = UserId::new(identity.key(key_type)?);
        let username = match &identity {
            Identity::Account { name, .. } => name.chars().take(NAME_CHARS).collect(),
            _ => format!("xapi-{:.8}", user.to_string()),
        };
        Ok(Self { user, username })
    }
}

impl Identity {
    fn read(actor: &Map<String, Value>) -> Result<Self, Fault> {
        let account = map(actor, "account", "actor.account")?;
        let mbox = text(actor, "mbox", "actor.mbox")?;
        let hashed = text(actor, "mbox_sha1sum", "actor.mbox_sha1sum")?;
        let open_id = text(actor, "openid", "actor.openid")?;
        match (account, mbox, hashed, open_id) {
            (Some(account), None, None, None) => {
                let name = text(account, "name", "actor.account.name")?.filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| Fault::new("actor.account.name", "is missing or empty"))?;
                if name.contains('\0') {
                    return Err(Fault::new("actor.account.name", "holds a NUL, which databases do not store"));
                }
                let home_page = text(account, "homePage", "actor.account.homePage")?.unwrap_or_default();
                Ok(Self::Account { home_page: home_page.to_owned(), name: name.to_owned() })
            }
            (None, Some(mbox), None, None) => hash_of(mbox)
                .map(Self::Mail)
                .ok_or_else(|| Fault::new("actor.mbox", "is no mail address; accepted: mailto:name@domain")),
            (None, None, Some(hashed), None) => {
                if hashed.len() != 40 || !hashed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(Fault::new("actor.mbox_sha1sum", "is no SHA-1; accepted: 40 hexadecimal digits"));
                }
                Ok(Self::Mail(hashed.to_ascii_lowercase()))
            }
            (None, None, None, Some(open_id)) if !open_id.is_empty() => Ok(Self::OpenId(open_id.to_owned())),
            _ => Err(Fault::new(
                "actor",
                "is not identified; accepted: exactly one of account, mbox, mbox_sha1sum, openid",
            )),
        }
    }

    fn key(&self, key_type: KeyType) -> Result<Key, Fault> {
        if let Self::Account { name, .. } = self
            && let Some(key) = field::key_of(name.as_bytes(), key_type)
        {
            return Ok(key);
        }
        match key_type {
            KeyType::Uuid => Ok(Key::Uuid(Uuid::new_v5(&NAMESPACE, self.canonical().as_bytes()))),
            KeyType::Int => Err(Fault::new(
                "actor",
                "has no integer for an id, the type of this database; accepted: an account whose name is one",
            )),
        }
    }

    /// The text that the derived id is made of.
    fn canonical(&self) -> String {
        match self {
            Self::Account { home_page, name } => format!("account|{home_page}|{name}"),
            Self::Mail(hash) => format!("mbox_sha1sum|{hash}"),
            Self::OpenId(open_id) => format!("openid|{open_id}"),
        }
    }
}

/// SHA-1 of a `mailto:` address, its domain in lower case.
fn hash_of(mbox: &str) -> Option<String> {
    let address = mbox.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).and_then(|_| mbox.get(7..))?;
    let (local, domain) = address.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty())?;
    let canonical = format!("mailto:{local}@{}", domain.to_lowercase());
    Some(Sha1::from(canonical.as_bytes()).digest().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn actor(value: &Value, key_type: KeyType) -> Result<Actor, Fault> {
        Actor::read(value.as_object().unwrap(), key_type)
    }

    fn account(name: &str) -> Value {
        json!({"account": {"homePage": "https://lms.example.org", "name": name}})
    }

    #[test]
    fn an_account_named_by_a_key_is_the_learner_with_that_key() {
        let uuid = "f6c5ca7f-9daa-4830-a6a7-887af156e9ce";

        assert_eq!(actor(&account(uuid), KeyType::Uuid).unwrap().user, uuid.parse().unwrap());
        assert_eq!(actor(&account("42"), KeyType::Int).unwrap().user, "42".parse().unwrap());
        assert!(actor(&account(uuid), KeyType::Int).is_err());
        assert!(actor(&account("-0"), KeyType::Int).is_err());
    }

    #[test]
    fn other_accounts_get_a_derived_id_that_depends_on_their_home_page() {
        let here = actor(&account("anna"), KeyType::Uuid).unwrap();
        let there = json!({"account": {"homePage": "https://other.example.org", "name": "anna"}});

        assert_eq!(here.username, "anna");
        assert_eq!(here.user.to_string(), "91b046ac-13b3-5971-a2f0-5d7b2c7d5ccd");
        assert_ne!(actor(&there, KeyType::Uuid).unwrap().user, here.user);
    }

    #[test]
    fn a_mail_address_and_its_hash_are_one_learner_who_is_not_named_after_it() {
        let plain = actor(&json!({"mbox": "mailto:Anna@Example.ORG"}), KeyType::Uuid).unwrap();
        let lower = actor(&json!({"mbox": "mailto:Anna@example.org"}), KeyType::Uuid).unwrap();
        let hash = Sha1::from("mailto:Anna@example.org").digest().to_string().to_uppercase();
        let hashed = actor(&json!({"mbox_sha1sum": hash}), KeyType::Uuid).unwrap();

        assert_eq!(plain, lower);
        assert_eq!(plain, hashed);
        assert!(plain.username.starts_with("xapi-") && plain.username.len() == 13, "{}", plain.username);
    }

    #[test]
    fn actors_that_are_not_one_learner_are_refused() {
        for bad in [
            json!({}),
            json!({"name": "Anna"}),
            json!({"mbox": "anna@example.org"}),
            json!({"mbox": "mailto:anna"}),
            json!({"mbox": "mäilto:a@b"}),
            json!({"mbox": 5}),
            json!({"mbox": null}),
            json!({"mbox_sha1sum": "abc"}),
            json!({"openid": ""}),
            json!({"account": {"homePage": "https://lms.example.org"}}),
            json!({"account": {"name": 5}}),
            json!({"account": "anna"}),
            json!({"account": {"name": "a\0b"}}),
            json!({"openid": "https://a.example.org", "mbox": "mailto:a@example.org"}),
            json!({"objectType": "Group", "mbox": "mailto:a@example.org"}),
            json!({"member": [], "mbox": "mailto:a@example.org"}),
        ] {
            assert!(actor(&bad, KeyType::Uuid).is_err(), "{bad}");
        }
    }
}
