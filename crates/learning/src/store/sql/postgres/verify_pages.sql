-- Every stored month.
select user_id, month, days from tierkeep_month
