//! Instantiating the suite.

/// Makes every contract a test of its own, for one backend: `store_contract!(open);`, where `open` is an `async fn` of
/// the same module that answers a fresh [`Rig`](crate::contract::Rig).
#[macro_export]
macro_rules! store_contract {
    ($open:ident) => {
        $crate::store_contract! { @tests $open
            create {
                a_new_job_waits_as_it_was_ordered
                an_order_of_one_answers_its_job
                an_answer_outlives_the_store
                an_unknown_account_spoils_the_whole_order
                an_erased_account_is_unknown
                an_unknown_parent_spoils_the_whole_order
                a_failing_order_leaves_nothing
                a_parent_may_be_of_the_same_order
                a_child_of_a_held_key_belongs_to_its_holder
                a_held_key_answers_its_holder
                a_key_is_held_while_its_job_lives
                one_of_many_creates_under_a_key
                a_repeated_order_is_answered_again
                another_order_under_the_same_key_is_refused
                a_refused_order_does_not_use_its_key
                an_idempotency_key_is_free_after_a_day
            }
            claims {
                a_claim_grants_a_lease
                the_order_is_priority_then_moment_then_id
                nothing_is_handed_out_before_its_moment
                the_end_of_time_is_not_due
                a_lease_without_end_is_not_over
                a_paused_queue_hands_out_nothing
                a_claim_gets_what_it_is_for
                each_job_takes_one_token
                no_job_goes_to_two_callers
                a_look_shows_what_a_claim_would_get
            }
            broken_rows {
                a_claim_sets_broken_rows_aside
                a_look_looks_past_broken_rows
                reads_show_broken_rows_among_the_others
                no_worker_acts_on_a_broken_row
                a_person_acts_on_a_broken_row
                a_broken_row_takes_no_key_back
                a_bulk_action_does_not_stop_at_broken_rows
                a_search_reports_broken_rows
                reported_rows_are_set_aside
                an_unknown_status_is_set_aside
                a_mended_row_is_left_alone
                what_could_be_read_is_kept
            }
            reports {
                progress_is_kept_and_renews_the_lease
                completion_finishes_the_job
                failure_is_kept_with_what_was_said_of_it
                the_last_failure_quarantines
                a_holder_can_pause_its_job
                a_repeated_end_is_a_duplicate
                a_repeated_end_disturbs_no_later_holder
                a_stale_report_changes_only_the_history
                a_report_ends_the_count_of_losses
                a_token_that_never_held_is_stale
                a_token_counts_for_its_own_job
                a_worker_without_a_token_counts_while_it_holds
                a_late_report_counts_while_nobody_took_the_job
                the_same_report_again_is_a_duplicate
                older_progress_overwrites_nothing
                an_end_counts_whatever_its_moment
                a_report_on_no_job_is_refused
                a_report_and_a_cancel_cannot_both_win
            }
            next_jobs {
                a_report_brings_the_next_job
                reports_are_applied_in_their_order
                the_next_job_comes_whatever_became_of_the_report
                a_report_without_a_next_job_says_when_one_is_due
                what_a_report_found_can_be_the_next_job
                many_reports_bring_many_jobs
            }
            late_results {
                a_result_that_came_too_late_is_kept
                what_is_no_late_result_is_not_kept
                so_many_late_results_are_kept
                a_late_result_counts_once_accepted
                a_late_failure_can_be_accepted
                a_late_result_is_accepted_once_and_in_time
            }
            areas {
                an_area_gets_the_jobs_it_asks_for
                an_area_gets_each_job_once
                a_report_that_does_not_count_spawns_nothing
            }
            leases {
                a_sign_of_life_renews
                an_overdue_lease_is_renewed_while_nobody_took_it
                a_renewal_never_shortens
                each_lease_is_answered_on_its_own
                a_job_given_back_costs_no_attempt
                a_lease_is_given_back_once
                giving_back_and_cancelling_cannot_undo_each_other
                a_grace_lengthens_and_excuses
                running_jobs_move_with_the_clock
            }
            admin {
                actions_follow_the_table
                a_retry_begins_anew
                only_named_counters_begin_again
                a_cancelled_holder_is_told
                a_resumed_job_keeps_its_moment
                running_again_makes_a_new_job
                running_again_is_refused_with_its_reason
                no_job_is_no_such_job
                one_of_many_hands_does_it
                a_bulk_action_goes_by_age
                a_bulk_action_counts_whom_it_is_not_for
            }
            discovery {
                discovery_needs_its_account
                one_discovery_lives_at_a_time
                a_fresh_discovery_is_enough
                a_cancelled_discovery_is_followed_by_a_new_one
                a_stranded_discovery_is_queued_again
                a_discovery_whose_key_is_held_is_refused
            }
            holders {
                a_very_job_can_be_claimed
                a_claim_of_several_commands_keeps_the_order
                later_jobs_stand_in_nobodys_way
                a_workers_jobs_are_known
                a_sign_of_the_worker_alone_does_not_touch_its_jobs
                leases_are_held_on_until_a_moment
                a_pending_start_is_noted_and_forgotten
                evidence_becomes_part_of_the_history
                a_taken_lease_is_told_of
            }
            lists {
                a_list_is_read_part_by_part
                a_filter_holds_in_all_its_parts
                jobs_are_found_by_a_text
                a_history_is_read_part_by_part
                queues_are_counted_by_state
                reads_do_not_wait_for_writes
                a_sound_store_proves_itself
            }
            arrivals {
                new_jobs_are_told_of
                jobs_queued_by_hand_are_told_of
                jobs_queued_in_bulk_are_told_of
                jobs_given_back_are_told_of
                recovered_jobs_are_told_of
                spawned_and_discovered_jobs_are_told_of
                what_happened_is_told_of
                a_resumed_queue_is_told_of
            }
            candidates {
                the_failed_come_first_then_the_stuck
                pages_follow_each_other
                a_job_that_rests_is_left_out
                a_running_job_needs_a_sign
                a_job_comes_with_the_state_of_its_account
                a_job_is_looked_at_alone
            }
            decisions {
                a_failed_job_is_queued_again
                a_decision_can_choose_the_queue
                a_stuck_job_is_taken_back
                a_loss_within_a_grace_is_not_charged
                a_decision_can_quarantine
                a_job_that_moved_on_is_left_alone
                another_failure_is_decided_anew
                each_decision_stands_alone
                many_decisions_stand_alone_as_well
                a_decision_and_a_report_cannot_both_win
                a_reason_is_said_once
                a_reason_is_said_once_whatever_was_seen
                another_reason_is_said
                a_stale_report_is_no_news_of_the_job
                the_flow_of_the_last_minute_is_known
            }
            replaying {
                what_happened_is_read_part_by_part
                a_decision_keeps_what_it_saw
                an_end_says_how_long_the_job_was_silent
            }
            retention {
                jobs_that_are_over_go_when_their_time_has_come
                the_history_of_a_removed_job_stays_until_its_own_time
                the_history_of_a_job_that_is_not_over_stays
                one_step_removes_so_much
            }
            undoing {
                a_run_is_undone
                a_lease_comes_back_with_a_grace
                what_moved_on_is_left_and_named
                a_run_is_undone_once
            }
            cycles {
                one_cycle_at_a_time
                one_of_many_cycles_begins
                a_cycle_gives_back_its_own_place
                a_place_is_free_when_its_hold_has_passed
                a_clock_set_back_does_not_keep_the_place
                records_are_kept_newest_first
            }
            accounts {
                an_account_is_replaced_whole
                accounts_are_listed_part_by_part
                an_erased_account_is_hidden
                an_erased_account_comes_back_without_its_past
                a_renewal_keeps_what_was_not_renewed
                a_renewal_needs_the_present_refresh_token
                one_of_two_renewals_is_stored
                nothing_is_renewed_into_being
            }
            alerts {
                the_state_of_alerting_is_replaced_whole
                owners_keep_their_own_alerts
            }
        }
    };
    (@tests $open:ident $($subject:ident { $($contract:ident)+ })+) => {
        $(mod $subject {
            $(#[tokio::test]
            async fn $contract() {
                $crate::contract::$subject::$contract(&super::$open().await).await;
            })+
        })+
    };
}

#[cfg(test)]
mod tests {
    /// The functions of a subject, by its source.
    fn contracts(source: &str) -> impl Iterator<Item = &str> {
        source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next())
    }

    #[test]
    fn no_contract_is_forgotten() {
        let listed: Vec<&str> = include_str!("suite.rs").lines().map(str::trim).collect();
        for source in [
            include_str!("accounts.rs"),
            include_str!("admin.rs"),
            include_str!("alerts.rs"),
            include_str!("areas.rs"),
            include_str!("arrivals.rs"),
            include_str!("broken_rows.rs"),
            include_str!("candidates.rs"),
            include_str!("claims.rs"),
            include_str!("create.rs"),
            include_str!("cycles.rs"),
            include_str!("decisions.rs"),
            include_str!("discovery.rs"),
            include_str!("holders.rs"),
            include_str!("late_results.rs"),
            include_str!("leases.rs"),
            include_str!("lists.rs"),
            include_str!("next_jobs.rs"),
            include_str!("replaying.rs"),
            include_str!("reports.rs"),
            include_str!("retention.rs"),
            include_str!("undoing.rs"),
        ] {
            assert!(contracts(source).count() > 0);
            for contract in contracts(source) {
                assert!(listed.contains(&contract), "`{contract}` is not in `store_contract!`");
            }
        }
    }
}
