//! Without a hook everything still works, by spinning.

mod common;

#[test]
fn works_before_a_hook_is_installed() {
    common::mutex_excludes(2_000);
    common::rwlock_excludes(2_000);
    common::queue_hands_over(200);
    common::every_waiter_wakes();
    common::answers_arrive(20);
    common::unpoisoned();
}
