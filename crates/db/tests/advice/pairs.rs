//! Schemas with workloads for which an index is missing.

/// A schema, statements that need an index on it, and what to expect.
pub(crate) struct Pair {
    /// For messages.
    pub(crate) name: &'static str,
    /// Statements with their calls.
    pub(crate) statements: &'static [(&'static str, f64)],
    /// Columns that the first suggested index must begin with, on PostgreSQL with HypoPG.
    pub(crate) begins: &'static [&'static str],
}

/// Four schemas: a shop, devices with events, messages of tenants, and learners with sessions. No index but those of the
/// primary keys.
pub(crate) const POSTGRES: &str = "
    create table customers (id int primary key, email text not null, city text not null, vip boolean not null,
        joined date not null);
    insert into customers select i, 'Name' || i || '@Example.org', 'city ' || i % 200, i % 100 = 0,
        date '2015-01-01' + i % 3000 from generate_series(1, 20000) as i;
    create table orders (id int primary key, customer int not null, state text not null, placed timestamptz not null,
        total int not null, note text not null, deleted_at timestamptz);
    insert into orders select i, (i * 7919) % 20000 + 1, case when i % 50 = 0 then 'open' else 'done' end,
        timestamptz '2023-01-01 00:00Z' + (i * 7867 % 50000) * interval '10 minutes', i % 977, repeat('x', 60),
        case when i % 100 = 0 then now() end from generate_series(1, 50000) as i;
    create table items (id int primary key, order_id int not null, product int not null, quantity int not null);
    insert into items select i, (i * 6007) % 50000 + 1, (i * 31) % 2000, i % 9 from generate_series(1, 50000) as i;

    create table events (id bigint primary key, device int not null, kind text not null, at timestamptz not null,
        payload text not null, processed boolean not null);
    insert into events select i, (i * 7919) % 500, case when i % 40 = 0 then 'error' else 'info' end,
        timestamptz '2024-01-01 00:00Z' + i * interval '1 minute', repeat('p', 80), i % 100 <> 0
        from generate_series(1, 50000) as i;

    create table messages (id bigint primary key, tenant int not null, thread int not null, sender int not null,
        sent timestamptz not null, read_at timestamptz, body text not null);
    insert into messages select i, (i * 37) % 100, (i * 7919) % 4000, (i * 11) % 3000,
        timestamptz '2024-01-01 00:00Z' + (i * 7 % 40000) * interval '1 minute', case when i % 30 <> 0 then now() end,
        repeat('b', 100) from generate_series(1, 40000) as i;

    create table learners (id int primary key, zone text not null, name text not null);
    insert into learners select i, 'zone ' || i % 300, 'name ' || i from generate_series(1, 20000) as i;
    create table sessions (id bigint primary key, learner int not null, course int not null, started timestamptz not null,
        minutes int not null, rating int);
    insert into sessions select i, (i * 7919) % 20000 + 1, (i * 13) % 700,
        timestamptz '2024-01-01 00:00Z' + (i * 31 % 50000) * interval '5 minutes', i % 90, nullif(i % 6, 0)
        from generate_series(1, 50000) as i;
    vacuum analyze;";

pub(crate) const PAIRS: [Pair; 20] = [
    Pair {
        name: "rows of one customer",
        statements: &[("select * from orders where customer = 4711", 100.0)],
        begins: &["customer"],
    },
    Pair {
        name: "newest orders of a customer",
        statements: &[("select * from orders where customer = 4711 order by placed desc limit 10", 100.0)],
        begins: &["customer"],
    },
    Pair {
        name: "rare state within a time",
        statements: &[(
            "select id, total from orders where state = 'open' and placed >= '2023-06-01' and placed < '2023-06-08'",
            100.0,
        )],
        begins: &[],
    },
    Pair {
        name: "address without case",
        statements: &[("select id from customers where lower(email) = 'name77@example.org'", 600.0)],
        begins: &["email"],
    },
    Pair {
        name: "few deleted orders by time",
        statements: &[("select id, placed from orders where deleted_at is not null order by placed limit 50", 50.0)],
        begins: &[],
    },
    Pair {
        name: "orders of a city",
        statements: &[(
            "select c.email, o.total from customers c join orders o on o.customer = c.id where c.city = 'city 17'",
            100.0,
        )],
        begins: &[],
    },
    Pair {
        name: "items of an order",
        statements: &[(
            "select o.id, i.product, i.quantity from orders as o inner join items as i on i.order_id = o.id where o.id = 99",
            100.0,
        )],
        begins: &["order_id"],
    },
    Pair {
        name: "several products",
        statements: &[("select id, order_id from items where product in (5, 77, 1234)", 100.0)],
        begins: &["product"],
    },
    Pair {
        name: "customers of a city who joined lately",
        statements: &[("select id, email from customers where city = 'city 3' and joined >= '2022-01-01'", 100.0)],
        begins: &["city"],
    },
    Pair {
        name: "a device's day",
        statements: &[("select * from events where device = 7 and at between '2024-01-05' and '2024-01-06'", 100.0)],
        begins: &["device"],
    },
    Pair {
        name: "what is not processed yet",
        statements: &[("select id, payload from events where not processed order by at limit 100", 100.0)],
        begins: &[],
    },
    Pair {
        name: "count of late errors",
        statements: &[("select count(*) from events where kind = 'error' and at > '2024-02-01'", 100.0)],
        begins: &[],
    },
    Pair {
        name: "last event of a device",
        statements: &[("select max(at) from events where device = 33", 100.0)],
        begins: &["device"],
    },
    Pair {
        name: "a thread in order",
        statements: &[("select * from messages where tenant = 3 and thread = 1919 order by sent", 100.0)],
        begins: &["thread"],
    },
    Pair {
        name: "unread messages of a tenant",
        statements: &[("select id, thread from messages where tenant = 3 and read_at is null", 100.0)],
        begins: &[],
    },
    Pair {
        name: "senders of a tenant",
        statements: &[("select sender, count(*) from messages where tenant = 3 group by sender", 100.0)],
        begins: &["tenant"],
    },
    Pair {
        name: "a learner's month",
        statements: &[(
            "select sum(minutes) from sessions where learner = 555 and started >= '2024-02-01' and started < '2024-03-01'",
            100.0,
        )],
        begins: &["learner"],
    },
    Pair {
        name: "best sessions of a course",
        statements: &[("select learner, minutes from sessions where course = 77 and rating >= 5", 100.0)],
        begins: &["course"],
    },
    Pair {
        name: "learners of a zone with a bad session",
        statements: &[(
            "select l.name from learners l where l.zone = 'zone 9' and exists (select 1 from sessions s where s.learner = l.id \
             and s.rating = 1)",
            100.0,
        )],
        begins: &[],
    },
    Pair {
        name: "two statements and writes",
        statements: &[
            ("select * from sessions where learner = 42", 100.0),
            ("select * from sessions where learner = 43 and course = 559", 50.0),
            ("update sessions set minutes = 5 where id = 7", 1000.0),
        ],
        begins: &["learner"],
    },
];
