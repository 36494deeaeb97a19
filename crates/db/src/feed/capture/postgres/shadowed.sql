                    -- Measured, half the cost of a one-row insert: nothing of a shadow that is empty.
                    if exists (select from {shadow}) then
{with}
                    else
{without}
                    end if;
