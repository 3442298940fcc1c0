{{ config(materialized="external", location=env_var("WAREHOUSE") ~ "/documents.parquet") }}

-- The last version of each published document.
select doc_id, title, embedding
from read_parquet('{{ env_var("WAREHOUSE") }}/raw/*.parquet')
where published
qualify row_number() over (partition by doc_id order by updated_at desc) = 1
