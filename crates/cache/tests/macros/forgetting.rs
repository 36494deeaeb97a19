//! `#[invalidates]`: when it invalidates, and what.

use tierkeep_cache::{Cache, invalidates};

use crate::{Db, Refused, cache, load_of};

#[invalidates(tags("product:{id}"), on = "ok")]
async fn rename(cache: &Cache, db: &Db, id: u64, name: String) -> Result<usize, Refused> {
    drop(name);
    let _ = cache;
    db.load()
}

#[invalidates(tags("product:{id}"), on = "always")]
async fn remove(cache: Cache, db: &Db, id: u64) -> Result<usize, Refused> {
    drop(cache);
    db.load()
}

#[tokio::test(start_paused = true)]
async fn on_ok_only_a_success_invalidates() {
    let (cache, db, broken) = (cache(), Db::default(), Db::default());
    broken.fail();
    load_of(&cache, &db, "eu", 7).await;

    assert_eq!(rename(&cache, &broken, 7, "pen".to_owned()).await, Err(Refused));
    assert_eq!(load_of(&cache, &db, "eu", 7).await, 1);
    assert_eq!(rename(&cache, &db, 7, "pen".to_owned()).await, Ok(2));
    assert_eq!(load_of(&cache, &db, "eu", 7).await, 3);
}

#[tokio::test(start_paused = true)]
async fn on_always_a_failure_invalidates_too() {
    let (cache, db, broken) = (cache(), Db::default(), Db::default());
    broken.fail();
    load_of(&cache, &db, "eu", 7).await;

    assert_eq!(remove(cache.clone(), &broken, 7).await, Err(Refused));

    assert_eq!(load_of(&cache, &db, "eu", 7).await, 2);
}

#[tokio::test(start_paused = true)]
async fn keys_of_views_that_were_built_by_hand_can_be_invalidated() {
    #[invalidates(view = "names", key = "{name}")]
    #[invalidates(view = "places", key = "{name}:{place}")]
    #[invalidates(view = "numbers", key = "{place}", tags("other"))]
    async fn change(cache: &Cache, name: &str, place: u64) {
        let _ = (cache, name, place);
    }
    let cache = cache();
    let names = cache.view::<String, u64>("names").build().unwrap();
    let places = cache.view::<(String, u64), u64>("places").build().unwrap();
    let numbers = cache.view::<u64, u64>("numbers").build().unwrap();
    for place in [7, 8] {
        let name = format!("name{place}");
        names.put(&name, place).await.receipt.complete().unwrap();
        places.put(&(name, place), place).await.receipt.complete().unwrap();
        numbers.put(&place, place).await.receipt.complete().unwrap();
    }

    change(&cache, "name7", 7).await;

    for (place, there) in [(7, false), (8, true)] {
        let name = format!("name{place}");
        assert_eq!(names.exists(&name).await, there);
        assert_eq!(places.exists(&(name, place)).await, there);
        assert_eq!(numbers.exists(&place).await, there);
    }
}
