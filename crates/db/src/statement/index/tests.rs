use super::*;

fn ident(name: &str) -> Ident {
    Ident::new(name).unwrap()
}

fn definition() -> IndexDefinition {
    IndexDefinition {
        method: IndexMethod::Tree,
        table: "public.orders".parse().unwrap(),
        keys: vec![
            IndexKey::ascending(ident("customer")),
            IndexKey {
                by: Keyed::Function(KeyFunction::Lower, ident("e\"mail")),
                order: KeyOrder::DescendingNullsLast,
            },
        ],
        include: vec![ident("total")],
        predicate: Some(IndexPredicate::TextIs(ident("state"), "it's".to_owned())),
    }
}

#[test]
fn definition_is_rendered_for_each_dialect() {
    let index = definition();
    let name = index.name();

    assert_eq!(
        index.create(Dialect::Postgres, Some(&name), Creation::Concurrent),
        format!(
            "create index concurrently \"{name}\" on \"public\".\"orders\" (\"customer\", \
             lower(\"e\"\"mail\") desc nulls last) include (\"total\") where \"state\" = 'it''s'"
        )
    );
    assert_eq!(
        index.create(Dialect::Sqlite, Some(&name), Creation::Plain),
        format!(
            "create index \"public\".\"{name}\" on \"orders\" (\"customer\", lower(\"e\"\"mail\") desc, \"total\") \
             where \"state\" = 'it''s'"
        )
    );
}

#[test]
fn name_follows_the_definition_and_fits() {
    let index = definition();
    let other = IndexDefinition { include: Vec::new(), ..index.clone() };
    let long = IndexDefinition { table: TableName::new(None, ident(&"ä".repeat(31))), ..index.clone() };

    assert_eq!(index.name(), definition().name());
    assert_ne!(index.name(), other.name());
    assert!(index.name().as_str().starts_with("orders_customer_e_mail_tk"), "{}", index.name());
    assert!(long.name().as_str().len() <= 63);
}

#[test]
fn dropping_names_the_schema() {
    assert_eq!(drop_index(Dialect::Postgres, Some(&ident("s")), &ident("i")), "drop index concurrently \"s\".\"i\"");
    assert_eq!(drop_index(Dialect::Sqlite, None, &ident("i")), "drop index \"i\"");
}
